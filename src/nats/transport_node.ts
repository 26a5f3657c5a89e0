/**
 * Import this module to put `@nats-io/transport-node`, and npm's jetstream and kv, which Catga uses with it, into the
 * module graph of a program in Deno. Without this import, Deno downloads them when a connection needs them: with
 * `transport: "node"`, a CA or a client certificate. Programs that are compiled, or that run without a network, need
 * this import; in Bun and Node it changes nothing.
 *
 * ```ts ignore
 * import "@catga/catga/transport-node";
 * ```
 *
 * @module
 */
import "@nats-io/jetstream";
import "@nats-io/kv";
import "@nats-io/transport-node";
import "@nats-io/transport-node/lib/node_transport.js";
