/** NATS by `@nats-io/transport-node`, the driver for Bun and Node, and for TLS client certificates in Deno. */
export { connect, createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/transport-node";
