/**
 * `dead`: lists, shows, replays and discards dead letters.
 * @decides `catga dead`
 */
import type { DeadLetter } from "../../../mod.ts";
import type { DeadLetterOptions } from "../../contract/calls/durable_messages.ts";
import { shownPayload } from "../../contract/declaration/redaction.ts";
import { printable, printableJson } from "../../data/printable.ts";
import { changeEach } from "../../operate/change_each.ts";
import { chosenLetters, type LetterChoice } from "../../operate/chosen_letters.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { showDuration } from "../terminal/duration.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { Listing, print } from "../terminal/listing.ts";

const VERBS = ["list", "show", "replay", "discard"] as const;
type Verb = typeof VERBS[number];
const FILTERS = ["service", "subscription", "contract", "code", "cause"] as const;

/** The `dead` command of the tool. */
export const dead: CliCommand = {
  name: "dead",
  words: "[VERB] [ID…]",
  summary: "dead letters: list, show, replay, discard",
  flags: ["subscription", "service", "contract", "code", "cause", "yes", "show-secrets"],
  more: `
A dead letter is a message whose last attempt failed. It is kept until somebody
replays or discards it. HELD counts later messages of its key that wait for it.

VERB is list (the default), show, replay or discard. ID is a message id or a
position, as the list shows them; --subscription, --service, --contract, --code
and --cause choose all that match; --cause is a part of what the handler threw,
or of the error. show prints payload, headers and cause as JSON.
replay has it handled again with all its attempts, and then those behind it.
discard removes it; those behind it go on.
Without an ID, replay and discard only count what they would do, until --yes.`,
  async run([verb = "list", ...ids], flags, terminal) {
    if (!VERBS.some((each) => each === verb)) {
      throw new UsageError(`dead takes ${VERBS.join(", ")}; got ${JSON.stringify(verb)}`);
    }
    if (flags.has("yes") && (verb === "list" || verb === "show")) {
      throw new UsageError("--yes is for catga dead replay and catga dead discard");
    }
    if (verb === "show" && ids.length === 0 && !FILTERS.some((flag) => flags.has(flag))) {
      throw new UsageError(`dead show takes IDs, or one of ${FILTERS.map((flag) => `--${flag}`).join(", ")}`);
    }
    const choice = { contract: flags.text("contract"), code: flags.text("code"), cause: flags.part("cause") };
    return await ClusterView.during(flags, terminal, async (view) => {
      const place = placeOf(flags);
      const unknown = place && noSubscription(place, await view.administration().stored());
      if (unknown !== undefined) {
        terminal.say(printable(unknown));
        return FAILED;
      }
      const run: DeadCommand = { view, ids, choice, flags, terminal };
      const missing = new Set(ids);
      const letters = chosen(view.administration().deadLetters(place), run, missing);
      const print = { list, show, replay: settle, discard: settle }[verb as Verb];
      const code = await print(letters, run, verb as "replay" | "discard");
      for (const id of missing) terminal.say(printable(`no dead letter ${id}${where(run)}`));
      return missing.size > 0 ? FAILED : code;
    });
  },
};

interface DeadCommand {
  readonly view: ClusterView;
  readonly ids: readonly string[];
  readonly choice: LetterChoice;
  readonly flags: Flags;
  readonly terminal: Terminal;
}

/**
 * Returns the subscriptions that the flags choose, given by service and name, or as `SERVICE/NAME`, as the list
 * prints them; `undefined`: all.
 */
function placeOf(flags: Flags): DeadLetterOptions | undefined {
  const [service, word] = [flags.text("service"), flags.text("subscription")];
  if (word === undefined) return service === undefined ? undefined : { service };
  const slash = word.indexOf("/");
  return { service: slash < 0 ? service : word.slice(0, slash), subscription: word.slice(slash + 1) };
}

/** Returns an error message if no subscription matches the flags; `undefined` if one does. */
function noSubscription(
  { service, subscription }: DeadLetterOptions,
  all: readonly { readonly service: string; readonly name: string }[],
): string | undefined {
  if (all.some(({ service: of, name }) => (service ?? of) === of && (subscription ?? name) === name)) return;
  const known = all.map((each) => `${each.service}/${each.name}`).join(", ") || "none";
  const wanted = [service, subscription].filter((each) => each !== undefined).join("/");
  return `there is no subscription ${subscription === undefined ? "of " : ""}${wanted}; there are ${known}`;
}

/**
 * Yields the dead letters that the command line chooses, and removes their ids and positions from `missing`, the ones
 * still to be found.
 */
async function* chosen(
  letters: AsyncIterable<DeadLetter>,
  { ids, choice }: DeadCommand,
  missing: Set<string>,
): AsyncGenerator<DeadLetter> {
  for await (const letter of chosenLetters(letters, choice)) {
    const names = [letter.id, `${letter.position}`];
    if (ids.length > 0 && !names.some((name) => ids.includes(name))) continue;
    for (const name of names) missing.delete(name);
    yield letter;
  }
}

/**
 * Prints that there are no dead letters, and returns the exit code 0. If the command line named letters by id, prints
 * nothing, because each missing id is reported by itself.
 */
function none(run: DeadCommand): number {
  if (run.ids.length === 0) run.terminal.say(`no dead letters${where(run)}`);
  return DONE;
}

function where({ view, ids, flags }: DeadCommand): string {
  const match = FILTERS.some((flag) => flags.has(flag)) ? (ids.length > 0 ? " matches" : " match") : "";
  return `${match} ${view.place}`;
}

async function list(letters: AsyncIterable<DeadLetter>, run: DeadCommand): Promise<number> {
  const { view, flags, terminal } = run;
  const now = Date.now();
  const listing = new Listing(terminal, flags.has("json"), COLUMNS);
  for await (const letter of letters) {
    const { service, subscription, position, id, contract, key, attempts, at, heldBehind, error } = letter;
    listing.add(plain(letter, view.showSecrets), [
      `${service}/${subscription}`,
      `${position}`,
      id,
      contract,
      key ?? "-",
      `${attempts}`,
      showDuration(now - at.getTime()),
      `${heldBehind}`,
      // the first line of the cause is the error of the handler; `error.message` only says where it was thrown
      `${error.code}: ${error.cause?.split("\n", 1)[0] ?? error.message}`,
    ]);
  }
  if (listing.count === 0) return none(run);
  listing.end();
  return DONE;
}

const COLUMNS = ["SUBSCRIPTION", ">POSITION", "ID", "CONTRACT", "KEY", ">ATTEMPTS", ">DEAD FOR", ">HELD", "ERROR"];

async function show(letters: AsyncIterable<DeadLetter>, run: DeadCommand): Promise<number> {
  let count = 0;
  for await (const letter of letters) {
    count++;
    const own = plain(letter, run.view.showSecrets);
    const shown = run.flags.has("json") ? printableJson(own) : printableJson(inLines(own), 2);
    run.terminal.write(`${shown}\n`);
  }
  return count === 0 ? none(run) : DONE;
}

/** Returns a dead letter with its cause as an array of lines, for people. */
function inLines({ error, ...letter }: Plain): Record<string, unknown> {
  const { cause } = error;
  return { ...letter, error: cause === undefined ? error : { ...error, cause: cause.split("\n") } };
}

type Plain = Record<string, unknown> & Pick<DeadLetter, "error">;

/** Returns a dead letter in the form in which `--json` prints it. */
function plain({ stored, due, at, replay: _, discard: __, ...letter }: DeadLetter, showSecrets: boolean): Plain {
  const times = { stored: stored.toISOString(), ...(due && { due: due.toISOString() }), at: at.toISOString() };
  const payload = shownPayload(letter.payload, letter, showSecrets);
  const history = letter.history.map((each) => ({
    ...each,
    payload: shownPayload(each.payload, letter, showSecrets),
  }));
  return { ...letter, payload, history, ...times };
}

async function settle(
  letters: AsyncIterable<DeadLetter>,
  run: DeadCommand,
  verb: "replay" | "discard",
): Promise<number> {
  const { ids, flags, terminal } = run;
  const sure = ids.length > 0 || flags.has("yes");
  let [count, failed] = [0, 0];
  for await (const [letter, error] of changeEach(letters, (letter) => sure ? letter[verb]() : Promise.resolve())) {
    count++;
    if (!sure) continue;
    const { service, subscription, position, id } = letter;
    if (error !== undefined) {
      failed++;
      terminal.say(printable(`${error.code}: ${error.message}`));
      continue;
    }
    const text = `to be ${verb}ed: ${service}/${subscription} ${position} ${id}`;
    print(terminal, flags.has("json"), { [verb]: { service, subscription, position, id } }, text);
  }
  if (count === 0) return none(run);
  if (sure) return failed === 0 ? DONE : FAILED;
  terminal.say(`${count} dead letter${count === 1 ? "" : "s"} would be ${verb}ed: --yes does it`);
  return FAILED;
}
