/**
 * Links that break under a client of `@nats-io/transport-node`: the part of the cases in which it does not do what
 * Catga needs of it, for docs/internals/packages.md.
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { startTcpProxy, type TcpProxy } from "../../test/processes/tcp_proxy.ts";

/** How long a client has to get away from a broken link, in ms; Catga's takes 1 s. */
const PATIENCE = 5_000;
/** Messages that are published during an outage. */
const MESSAGES = 100;

/** 1 if a lost connection is not dialled after the wall clock was set back by an hour. */
export async function dialsNotAfterAClockChange(url: string): Promise<number> {
  await using link = await openLink(url);
  const nc = await connect({ servers: link.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  const back = seen(nc, "reconnect");
  const now = Date.now;
  Date.now = () => now() - 3_600_000;
  try {
    link.cut();
    link.restore();
    return await within(PATIENCE, back) ? 0 : 1;
  } finally {
    Date.now = now;
    nc.close().catch(() => {});
  }
}

/** 1 if a dead link whose buffers are full is kept long after it was found dead. */
export async function keepsADeadLink(url: string): Promise<number> {
  await using link = await openLink(url);
  const nc = await connect({ servers: link.url, pingInterval: 50, maxPingOut: 2, reconnectTimeWait: 50 });
  const left = seen(nc, "disconnect");
  link.strand();
  for (let i = 0; i < 20; i++) nc.publish("large", new Uint8Array(1_000_000));
  const gone = await within(PATIENCE, left);
  nc.close().catch(() => {});
  return gone ? 0 : 1;
}

/** The part of the messages that are published without an error during an outage, and never come. */
export async function losesWhatItAccepts(url: string, watcher: NatsConnection, subject: string): Promise<number> {
  await using link = await openLink(url);
  const nc = await connect({ servers: link.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  let [published, came] = [0, 0];
  watcher.subscribe(subject, { max: MESSAGES, callback: () => void came++ });
  await watcher.flush();
  const [lost, back] = [seen(nc, "disconnect"), seen(nc, "reconnect")];
  link.cut();
  await lost;
  for (; published < MESSAGES; published++) nc.publish(subject, "");
  link.restore();
  await back;
  await nc.flush();
  await watcher.flush();
  await nc.close();
  return 1 - came / published;
}

/** 1 if a request that is under way when the link is lost is rejected at the next dial only. */
export async function rejectsAtTheNextDial(url: string, responder: NatsConnection, subject: string): Promise<number> {
  await using link = await openLink(url);
  const nc = await connect({ servers: link.url, reconnectTimeWait: PATIENCE, maxReconnectAttempts: -1 });
  responder.subscribe(subject, { max: 1, callback() {} });
  await responder.flush();
  const lost = seen(nc, "disconnect");
  const request = nc.request(subject, "", { timeout: 60_000 }).catch(() => {});
  await nc.flush();
  link.cut();
  await lost;
  const rejected = await within(1_000, request);
  await nc.close();
  return rejected ? 0 : 1;
}

/** 1 if the socket of a dial that got no answer in time stays open. */
export async function keepsTheSocketOfADial(): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket)).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  await connect({ servers: `127.0.0.1:${port}`, timeout: 300, reconnect: false }).catch(() => {});
  for (const start = performance.now(); sockets.size > 0 && performance.now() - start < 1_000;) await sleep(20);
  const open = sockets.size;
  for (const socket of sockets) socket.destroy();
  server.close();
  return open > 0 ? 1 : 0;
}

/** A link to the server at `url`, a port of this machine, that breaks when it is told to. */
function openLink(url: string): Promise<TcpProxy> {
  return startTcpProxy(Number(new URL(url.includes("://") ? url : `nats://${url}`).port));
}

/** Resolves at the first event of this type. */
async function seen(nc: NatsConnection, type: "disconnect" | "reconnect"): Promise<void> {
  for await (const event of nc.status()) if (event.type === type) return;
}

async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  return await Promise.race([work.then(() => true), sleep(ms, false, { ref: false })]);
}
