/**
 * HTTP by the runtime's own server, `Deno.serve` or `Bun.serve`: a trace that begins there goes on in the messages that
 * are sent.
 */

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /**
   * Takes no more connections; resolves when the requests in hand have been answered, or after `patience` ms: a client
   * that stops reading would be waited for without end.
   */
  close(patience: number): Promise<void>;
}

type Fetch = (request: Request) => Response | Promise<Response>;

/** The part of both runtimes that is used here. */
interface Runtimes {
  Deno?: {
    serve(
      options: { hostname: string; port: number; onListen: () => void },
      handler: Fetch,
    ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
  };
  Bun?: {
    serve(
      options: { hostname: string; port: number; idleTimeout: number; fetch: Fetch },
    ): { readonly port: number; stop(): Promise<void> };
  };
}

/** Listens; port 0 is any free one. */
export function serve(fetch: Fetch, hostname: string, port: number): HttpServer {
  const { Deno, Bun } = globalThis as Runtimes;
  if (Deno !== undefined) {
    const server = Deno.serve({ hostname, port, onListen: () => {} }, fetch);
    return { port: server.addr.port, close: (patience) => within(patience, server.shutdown()) };
  }
  if (Bun === undefined) throw new Error("the shop runs in Deno and in Bun");
  // in s: by default Bun ends a connection whose answer takes longer than 10 s, and a command may take 30 s
  const server = Bun.serve({ hostname, port, idleTimeout: 60, fetch });
  return { port: server.port, close: (patience) => within(patience, server.stop()) };
}

async function within(ms: number, closed: Promise<void>): Promise<void> {
  let late: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([closed, new Promise<void>((resolve) => late = setTimeout(resolve, ms))]);
  clearTimeout(late);
}
