/** The driver for Bun and Node, and for CAs and client certificates in Deno: `@nats-io/transport-node`. */
export { connect, createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/transport-node";
