import type { ErrorBody } from './types.gen.js';

/** The gateway's refusal of a stream, thrown where its events are read; the message has the status and what the gateway says. */
export class RefusedStream extends Error {
  override readonly name = 'RefusedStream';

  private constructor(
    readonly status: number,
    readonly headers: Headers,
    /** The fields of the envelope; undefined if the answer is not the gateway's. */
    readonly error: ErrorBody | undefined,
  ) {
    super(`${status} ${error?.message ?? 'without a message of the gateway'}`);
  }

  /** Read the answer of a refusal. */
  static async read(response: Response): Promise<RefusedStream> {
    return new RefusedStream(response.status, response.headers, errorIn(await response.text()));
  }
}

function errorIn(body: string): ErrorBody | undefined {
  try {
    return JSON.parse(body).error;
  } catch {
    return undefined;
  }
}
