/**
 * `locks`: lists the locks and leaderships that nodes hold, and releases a lock by force.
 * @decides `catga locks`: holders and waiters
 */
import { printable, printableJson } from "../../data/printable.ts";
import { ClusterView, LOCK_KINDS, type ShownLock } from "../cluster/cluster_view.ts";
import { UsageError } from "../terminal/flags.ts";
import { showDuration } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { Listing, print } from "../terminal/listing.ts";

/** The `locks` command of the tool. */
export const locks: CliCommand = {
  name: "locks",
  summary: "lists locks and leaders; releases a lock by force",
  flags: ["kind", "release"],
  more: `
KIND is lock for app.lock and ctx.lock, lead for app.lead, and load for a value
that one node loads into the cache. HELD is the time since it was acquired, by
the holder's clock; TTL is how long it stays taken after the holder died.

--release KEY takes a lock away from its holder, at once and without asking. The
caller that has waited longest acquires it some ms later, with a greater token.
The holder notices at its next renewal, within a third of the TTL: lock.signal
aborts with LOCK_LOST, and app.lead becomes a candidate again. Until then both
holders work side by side: only what checks fencing tokens is safe. A lock whose
holder died needs no release: it expires. With --kind lead or load, KEY is the
key of one of these.`,
  async run(_, flags, terminal) {
    const kind = flags.choice("kind", LOCK_KINDS);
    const released = flags.text("release");
    if (released === "") throw new UsageError("--release needs the key of a lock");
    return await ClusterView.during(flags, terminal, async (view) => {
      const json = flags.has("json");
      if (released !== undefined) return await release(view, { kind: kind ?? "lock", key: released }, json, terminal);
      const listing = new Listing(terminal, json, COLUMNS);
      for (const lock of await view.locks()) {
        if (kind === undefined || lock.kind === kind) listing.add(plain(lock), cells(lock));
      }
      listing.end(`no locks are held ${view.place}`);
      return DONE;
    });
  },
};

/** Returns a lock in the form in which `--json` prints it. */
function plain({ kind, key, record, token, waiters }: ShownLock) {
  const { node, endpoint, since, ttl } = record;
  return { kind, key, node, endpoint, token, since, ttl, waiting: waiters.size };
}

const COLUMNS = ["KIND", "HOLDER", ">TOKEN", ">HELD", ">TTL", ">WAITING", "KEY"];

function cells({ kind, key, record: { node, since, ttl }, token, waiters }: ShownLock): string[] {
  return [kind, node, `${token}`, showDuration(Date.now() - since), showDuration(ttl), `${waiters.size}`, key];
}

async function release(
  view: ClusterView,
  wanted: Pick<ShownLock, "kind" | "key">,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const find = async () => (await view.locks()).find(({ kind, key }) => kind === wanted.kind && key === wanted.key);
  let lock = await find();
  // the release is tried again, because a renewal by the same holder changes the revision
  while (lock !== undefined && !await view.release(lock)) {
    const { token } = lock;
    const now = await find();
    lock = now?.token === token ? now : undefined;
  }
  if (lock === undefined) {
    terminal.say(`nobody holds the ${wanted.kind} ${printableJson(wanted.key)} in the namespace ${view.namespace}`);
    return FAILED;
  }
  const { key, record: { node, since, ttl }, token } = lock;
  const held = showDuration(Date.now() - since);
  const text = `released ${key}: ${node} had it for ${held}, with token ${token}`;
  print(terminal, json, { released: plain(lock) }, text);
  const within = showDuration(ttl / 3);
  terminal.say(
    `${printable(node)} notices it within ${within} (LOCK_LOST); until then it may work beside the next holder`,
  );
  return DONE;
}
