/**
 * `outbox`: lists what waits in the outboxes of the program's own databases and what was set aside, and has it tried
 * again or deleted.
 * @decides `catga outbox`
 */
import { printable } from "../../data/printable.ts";
import type { OutboxLane, RefusedRow } from "../../sql/mod.ts";
import { changeEach } from "../../operate/change_each.ts";
import { importFile } from "../cluster/program_module.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { showDuration } from "../terminal/duration.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { Listing, print } from "../terminal/listing.ts";
import type { Terminal } from "../terminal/terminal.ts";

const VERBS = ["list", "retry", "discard"] as const;
type OutboxVerb = typeof VERBS[number];

/** The `outbox` command of the tool. */
export const outbox: CliCommand = {
  name: "outbox",
  words: "FILE [VERB] [N…]",
  summary: "what waits in a database's outbox; retry, discard",
  flags: ["contract", "cause", "limit", "yes"],
  more: `
FILE is a module of the program that exports what sqlStore() of
@catga/catga/sql makes, one store or several, and starts no app. The database is
asked, as the program reaches it; no node and no NATS is needed.

Without a VERB it lists what is not published yet, by contract and key, and the
rows that were set aside because the log can never take them: N is the number of
such a row, CAUSE why. \`catga doctor\` says why others wait. --contract and
--cause, a part of the cause, choose; --limit is of those that wait.

retry has rows that were set aside published, as they stand in the table now;
later rows of their keys may have been published before. discard deletes them.
They take an N or several, or all rows that match; without an N they only count
what they would do, until --yes. In PostgreSQL they need UPDATE and DELETE on
the table outbox.`,
  async run([file, verb = "list", ...numbers], flags, terminal) {
    if (!VERBS.some((each) => each === verb)) {
      throw new UsageError(`outbox takes ${VERBS.join(", ")} behind the file; got ${JSON.stringify(verb)}`);
    }
    if (verb === "list" && flags.has("yes")) {
      throw new UsageError("--yes is for catga outbox retry and catga outbox discard");
    }
    if (verb === "list" && numbers.length > 0) throw new UsageError("outbox list takes no N");
    if (verb !== "list" && flags.has("limit")) throw new UsageError("--limit is for catga outbox list");
    const chosen: Chosen = { numbers, contract: flags.text("contract"), cause: flags.part("cause") };
    const limit = flags.limit();
    const stores = storesOf(file, await importFile(file));
    if (numbers.length > 0 && stores.length > 1) {
      throw new UsageError(`${file} exports ${stores.length} stores, and N names a row of one: choose with --contract`);
    }
    if (verb === "list") return await list(stores, chosen, limit, flags, terminal);
    return await settle(stores, chosen, verb as Exclude<OutboxVerb, "list">, flags, terminal);
  },
};

/** The reads of a store that this command needs: what waits in its outbox, and the rows that were set aside. */
interface OperatedStore {
  readonly name: string;
  lanes(options: { readonly max: number }): Promise<readonly OutboxLane[]>;
  refused(): AsyncIterable<RefusedRow>;
}

/** Which rows a command line chooses. */
interface Chosen {
  readonly numbers: readonly string[];
  readonly contract: string | undefined;
  readonly cause: string | undefined;
}

/** Returns the stores that a module exports, each once. Throws a {@link UsageError} if there is none. */
function storesOf(file: string, module: Readonly<Record<string, unknown>>): readonly OperatedStore[] {
  // what has these members is a store
  const isStore = (value: unknown): value is OperatedStore =>
    typeof value === "object" && value !== null && "~store" in value && "lanes" in value && "refused" in value;
  const stores = [...new Set(Object.values(module).filter(isStore))];
  if (stores.length > 0) return stores;
  throw new UsageError(`${file} exports no store: export what sqlStore() of @catga/catga/sql returns`);
}

async function list(
  stores: readonly OperatedStore[],
  chosen: Chosen,
  limit: number,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const listing = new Listing(terminal, flags.has("json"), COLUMNS);
  const { contract, cause } = chosen;
  const isAll = contract === undefined && cause === undefined;
  let more = 0;
  for (const store of stores) {
    const max = isAll ? Math.min(limit, MOST_LANES) : MOST_LANES;
    const lanes = await store.lanes({ max });
    const matching = lanes.filter(({ contract: name, why }) =>
      (contract === undefined || name === contract) && (cause === undefined || why?.includes(cause) === true)
    );
    if (lanes.length === max || matching.length > limit) more++;
    for (const lane of matching.slice(0, limit)) {
      listing.add({ store: store.name, state: "waits", ...lane }, [
        ...[store.name, "waits", lane.kind, lane.contract, lane.key ?? "-", `${lane.rows}`, "-"],
        ...[showDuration(lane.oldest), lane.why ?? "-"],
      ]);
    }
    for await (const row of refused(store, chosen)) {
      const { n, kind, contract, key, id, at, why } = row;
      listing.add({ store: store.name, state: "refused", n, kind, contract, key, id, at, why }, [
        ...[store.name, "refused", kind, contract, key ?? "-", "1", n],
        ...[showDuration(Math.max(0, Date.now() - at)), why],
      ]);
    }
  }
  const names = stores.map(({ name }) => name).join(", ");
  listing.end(isAll ? `nothing waits in ${names}` : `nothing that matches waits or was set aside in ${names}`);
  if (more > 0) terminal.say(`there may be more that wait: --limit`);
  return DONE;
}

async function settle(
  stores: readonly OperatedStore[],
  chosen: Chosen,
  verb: Exclude<OutboxVerb, "list">,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const sure = chosen.numbers.length > 0 || flags.has("yes");
  const missing = new Set(chosen.numbers);
  let [count, failed] = [0, 0];
  for (const store of stores) {
    /** Numbers of rows that somebody else has settled since they were listed. */
    const gone = new Set<string>();
    const change = async (row: RefusedRow) => {
      if (sure && !await row[verb]()) gone.add(row.n);
    };
    for await (const [{ n, contract, id }, error] of changeEach(refused(store, chosen), change)) {
      missing.delete(n);
      count++;
      if (!sure) continue;
      if (gone.has(n)) {
        failed++;
        terminal.say(printable(`not ${DONE_WORD[verb]}: ${store.name} ${n} ${contract} ${id} is no longer set aside`));
        continue;
      }
      if (error !== undefined) {
        failed++;
        terminal.say(printable(`${error.code}: ${error.message}`));
        continue;
      }
      const text = `${DONE_WORD[verb]}: ${store.name} ${n} ${contract} ${id}`;
      print(terminal, flags.has("json"), { [verb]: { store: store.name, n, contract, id } }, text);
    }
  }
  for (const n of missing) terminal.say(printable(`no row ${n} was set aside in ${stores[0].name}`));
  if (missing.size > 0) return FAILED;
  if (count === 0) {
    terminal.say(`no row that was set aside matches in ${stores.map(({ name }) => name).join(", ")}`);
    return DONE;
  }
  if (sure) return failed === 0 ? DONE : FAILED;
  terminal.say(`${count} row${count === 1 ? "" : "s"} would be ${DONE_WORD[verb]}: --yes does it`);
  return FAILED;
}

/** The rows of a store that were set aside, and that the command line chooses. */
async function* refused(store: OperatedStore, { numbers, contract, cause }: Chosen): AsyncGenerator<RefusedRow> {
  for await (const row of store.refused()) {
    if (numbers.length > 0 && !numbers.includes(row.n)) continue;
    if (contract !== undefined && row.contract !== contract) continue;
    if (cause === undefined || row.why.includes(cause)) yield row;
  }
}

const COLUMNS = ["STORE", "STATE", "KIND", "CONTRACT", "KEY", ">ROWS", ">N", ">AGE", "CAUSE"];
const DONE_WORD = { retry: "retried", discard: "discarded" } as const;
/** Maximum number of lanes that are asked for. */
const MOST_LANES = 100_000;
