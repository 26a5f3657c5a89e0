/** NATS by `@nats-io/transport-deno`, the driver for Deno. The same names as `driver_node.ts`. */
export { connect, createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/transport-deno";
