/** NATS by `@nats-io/transport-node`, the driver for Bun and Node, and for TLS client certificates in Deno. */
export { connect, createInbox, headers } from "@nats-io/transport-node";
