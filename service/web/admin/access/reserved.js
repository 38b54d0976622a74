// Knows the teams of the gateway itself, which can have no keys and cannot be changed.

const RESERVED = new Set(["open", "admin"]);

export function isOfGateway(team) {
  return RESERVED.has(team.name);
}
