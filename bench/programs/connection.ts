/** A connection of nats.js by itself, over the transport that the bench asks for. */
import type { NatsConnection } from "@nats-io/nats-core";
import type { RemoteOptions } from "./remote.ts";

/** Connects to the bench's server. */
export async function open({ url, transport }: RemoteOptions): Promise<NatsConnection> {
  const { connect } = transport === "deno"
    ? await import("@nats-io/transport-deno")
    : await import("@nats-io/transport-node");
  return await connect({ servers: url });
}
