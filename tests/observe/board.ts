import type { Dashboard, VariableModel } from '@grafana/schema';

/** A type whose enums are written as their values, as JSON has them. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
/** The SDK gives each variable the fields of one kind, an interval; Grafana ignores them elsewhere. */
type Variable = Json<VariableModel> & { auto?: boolean; auto_count?: number; auto_min?: string };
export type Board = Omit<Json<Dashboard>, 'templating'> & { templating: { list: Variable[] } };
