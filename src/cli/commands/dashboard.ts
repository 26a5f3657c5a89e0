/**
 * `dashboard`: serves a page that shows the cluster live.
 * @decides `catga dashboard`: its port, and the errors of a port in use
 */
import { printable } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { disposing } from "../cluster/connection.ts";
import { print } from "../terminal/listing.ts";
import { aborted } from "../../ports/clock.ts";

/** The `dashboard` command of the tool. */
export const dashboard: CliCommand = {
  name: "dashboard",
  summary: "serves a page that shows the cluster as it lives",
  flags: ["port", "host", "allow-changes", "show-secrets"],
  more: `
Prints the address of a page for a browser on this machine: nodes, traffic,
contracts, subscriptions, dead letters, schedules, locks and events, as they
change. The address has a secret token: whoever has it may look. Ends at Ctrl-C.

The page only shows, until --allow-changes lets it replay and discard dead
letters, cancel schedules, and retry, skip and cancel in runs of workflows. It
listens on 127.0.0.1 only; with --host, other machines can reach it, without
encryption. While no browser is connected, it asks the cluster for nothing.`,
  async run(_, flags, terminal) {
    const port = flags.number("port", 0, 65_535) ?? PORT;
    const host = flags.text("host") ?? "127.0.0.1";
    if (!/^[\w.:-]+$/.test(host)) {
      throw new UsageError(`--host takes a name or an address; got ${JSON.stringify(host)}`);
    }
    const { serveDashboard } = await import("../../dashboard/dashboard.ts");
    return await ClusterView.during(flags, terminal, async (view) => {
      const allowChanges = flags.has("allow-changes");
      const serving = serveDashboard(view, { host, port, allowChanges }).catch((error: NodeJS.ErrnoException) => {
        const { code = "" } = error;
        if (code === "EPERM" && "Deno" in globalThis) {
          throw new Error(`Deno does not let it listen on ${host}, port ${port}: run it with --allow-net`);
        }
        const advice = OF_PORT.has(code) ? "--port takes another" : "--host takes a name or an address of this machine";
        throw new Error(`cannot listen on ${host}, port ${port}: ${code || error.message}; ${advice}`);
      });
      return await disposing(serving, async ({ address }) => {
        print(terminal, flags.has("json"), { address }, address);
        const may = allowChanges ? ", which may change dead letters, schedules and runs" : "";
        terminal.say(`the dashboard of ${view.namespace} at ${view.address}${may}; Ctrl-C ends it`);
        const lost = new AbortController();
        view.transport.onStatus(({ state }) => state === "closed" && lost.abort());
        await aborted(AbortSignal.any([terminal.signal, lost.signal]));
        if (terminal.signal.aborted) return DONE;
        const why = view.transport.status.error?.message ?? "by the server";
        terminal.say(printable(`catga: the connection is closed: ${why}`));
        return FAILED;
      });
    });
  },
};

const PORT = 4280;
/**
 * Error codes of the operating system with which listening fails because of the port: it is in use, or reserved for
 * privileged processes. Another port may be free.
 */
const OF_PORT: ReadonlySet<string> = new Set(["EADDRINUSE", "EACCES"]);
