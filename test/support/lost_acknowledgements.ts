import { assertGreater } from "@std/assert";
import { setTimeout as wait } from "node:timers/promises";
import type { TcpProxy } from "../processes/tcp_proxy.ts";
import type { LogCluster } from "./log_cluster.ts";

/** Cuts the link of a publisher eight times, nearly always with an acknowledgement on its way. */
export async function loseAcknowledgements(cluster: LogCluster, link: TcpProxy): Promise<void> {
  link.delay(0, 50);
  for (let round = 0; round < 8; round++) {
    await cluster.more(500);
    link.cut();
    await wait(100);
    link.restore();
  }
  assertGreater(link.dropped, 0, "no acknowledgement was lost");
}
