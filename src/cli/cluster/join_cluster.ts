/** Joins a cluster as a node of the service `cli`, for the duration of one command. The node handles no contracts. */
import { type Catga, catga, type CatgaOptions } from "../../../mod.ts";
import { printable } from "../../data/printable.ts";
import { token } from "../../ports/clock.ts";
import type { ClusterView } from "./cluster_view.ts";
import { codecOf, connectionOptions } from "./connection.ts";
import type { Flags } from "../terminal/flags.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** Joins the cluster of a view as a node. Warnings are printed to standard error. */
export async function joinCluster(
  view: ClusterView,
  flags: Flags,
  terminal: Terminal,
  options: Pick<CatgaOptions, "handlers"> = {},
): Promise<Catga> {
  const warn = (message: string) => terminal.say(printable(message));
  const replicas = await view.replicas();
  const codec = await codecOf(flags, terminal);
  return await catga({
    ...(codec === undefined ? {} : { codec }),
    nats: await connectionOptions(flags, terminal),
    namespace: view.namespace,
    service: "cli",
    id: `cli-${token(view.transport.random, 8)}`,
    logger: { debug() {}, info() {}, warn, error: warn },
    // `replicas` is the number that the existing bucket has, because the bucket does not open with another number
    ...(replicas === undefined ? {} : { replicas }),
    ...options,
  });
}
