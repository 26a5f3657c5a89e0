/** A nats-server with a system account, which reports its connections and their subscriptions. */
import { connect } from "@nats-io/transport-node";
import type { NatsServer } from "../../tools/nats_server.ts";
import { PATIENT } from "./patient.ts";

/** Configuration: the user `app` is for programs, `sys` may ask. */
export const SYSTEM_ACCOUNT = `
  accounts {
    SYS: { users: [{ user: sys, password: sys }] }
    APP: { jetstream: enabled, users: [{ user: app, password: app }] }
  }
  system_account: SYS`;

/** The subjects that the connection of this name is subscribed to, as the server has them. */
export async function subscriptions(server: NatsServer, name: string): Promise<string[]> {
  const system = await connect({ servers: server.url, user: "sys", pass: "sys" });
  try {
    const answer = await system.request(
      `$SYS.REQ.SERVER.${system.info!.server_id}.CONNZ`,
      JSON.stringify({ subscriptions: true, auth: true }),
      PATIENT,
    );
    const { data } = answer.json<{ data: { connections: { name: string; subscriptions_list: string[] }[] } }>();
    return data.connections.find((connection) => connection.name === name)?.subscriptions_list ?? [];
  } finally {
    await system.close();
  }
}
