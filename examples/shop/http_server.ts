/** The runtime's own HTTP server: `Deno.serve` or `Bun.serve`. A trace that begins there continues in sent messages. */

/** A listening server. */
export interface HttpServer {
  readonly port: number;
  /**
   * Closes the server to new connections. Resolves when open requests have been answered, or after `patience` ms, so
   * that a client that stops reading holds nothing up.
   */
  close(patience: number): Promise<void>;
}

type Fetch = (request: Request) => Response | Promise<Response>;

/** The functions of both runtimes that are used here. */
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

/** Starts a server. Port 0: any free port. */
export function serve(fetch: Fetch, hostname: string, port: number): HttpServer {
  const { Deno, Bun } = globalThis as Runtimes;
  if (Deno !== undefined) {
    const server = Deno.serve({ hostname, port, onListen: () => {} }, fetch);
    return { port: server.addr.port, close: (patience) => within(patience, server.shutdown()) };
  }
  if (Bun === undefined) throw new Error("it runs in Deno and in Bun");
  // in s: by default Bun ends a connection whose answer takes longer than 10 s, and a command may take 30 s
  const server = Bun.serve({ hostname, port, idleTimeout: 60, fetch });
  return { port: server.port, close: (patience) => within(patience, server.stop()) };
}

async function within(ms: number, closed: Promise<void>): Promise<void> {
  let late: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([closed, new Promise<void>((resolve) => late = setTimeout(resolve, ms))]);
  clearTimeout(late);
}
