/** Connections to NATS that are no node's: a test reads, writes and forges messages and entries over them. */
import { openNats } from "../../src/nats/open.ts";

/** Opens a connection to a server, with its stores. Errors of callbacks, and denied subjects, go to the console. */
export function openBareLink(server: string, name: string): ReturnType<typeof openNats> {
  return openNats(server, {
    name,
    transport: undefined,
    onError: (error) => console.error(error),
    onForbidden: ({ subject }) => console.error(subject),
    onNotice: () => {},
  });
}
