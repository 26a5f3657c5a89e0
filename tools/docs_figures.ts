/** Compares figures in the pages with the constants in the sources that decide them. */
import { readFile } from "node:fs/promises";

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), "utf8");

/**
 * By page: texts of it, in which each figure stands in `<>`, with the file below `src/` and the name of the constant
 * that has its value. A text may span lines of the page.
 */
const FIGURES: Readonly<Record<string, readonly (readonly [text: string, file: string, constant: string])[]>> = {
  "docs/log.md": [
    ["kept for <7 days>, or as long as `keep` says", "contract/declaration/defaults.ts", "KEEP"],
    ["to <36,500 days>, or `Infinity`; `true` is 7 days", "data/checks.ts", "LONGEST_TTL"],
    ["in ms: <2 minutes> to 36,500 days", "contract/declaration/contract_options.ts", "LEAST_KEEP"],
    [
      "stored once for each id and contract, within <2 minutes> at least",
      "nats/log/log_settings.ts",
      "DUPLICATE_WINDOW",
    ],
    ["`timeout` (the app's, <30 s>)", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["it is sent again for up to <105 s>", "log/publishing/publication_group.ts", "REPEATED_FOR"],
    ["More than <262,144> messages", "log/publishing/publication.ts", "MAX_WAITING"],
    ["or <64 Mi> characters, that wait in a process", "log/publishing/publication.ts", "MAX_WAITING_CHARS"],
    ["up to <512> of these, of different keys", "log/publishing/publish_lane.ts", "MAX_CONCURRENT_MESSAGES"],
    ["events in one message: <512>, or 64 kB", "log/format/group_text.ts", "MAX_ITEMS_IN_GROUP"],
    ["events in one message: 512, or <64 kB>", "log/publishing/publish_lane.ts", "MAX_GROUP_CHARS"],
    ["(1 MiB) less <16,384> bytes, with key and headers", "data/message_room.ts", "STORED_OVERHEAD"],
    ["message id: <256> characters", "contract/calls/send_options.ts", "MAX_ID"],
    ["a <day>); `outage`", "contract/declaration/handler.ts", "MAX_PAUSE"],
    ["for `retry.outage` ms, <7 days> by default", "contract/declaration/handler.ts", "OUTAGE"],
    ["that has failed for longer than <5 s> is **parked**", "log/subscriptions/after_failure.ts", "IN_MEMORY"],
    ["`history` keeps the last <five> payloads", "log/format/logged_message.ts", "EARLIER"],
    ["payloads before, <16,384> characters of each", "log/format/logged_message.ts", "MAX_EARLIER_PAYLOAD"],
    ["contracts of a subscription: <1,024>", "log/format/commit.ts", "MAX_CATEGORIES"],
    ["in hand of a subscription: <1,024> for each node", "log/subscriptions/categories.ts", "MAX_OPEN_AT_NODE"],
    ["that handles it; <8,192> or 32 MiB at most", "log/subscriptions/categories.ts", "MAX_OPEN"],
    ["that handles it; 8,192 or <32 MiB> at most", "log/subscriptions/term.ts", "MAX_BYTES"],
    ["for parked messages: up to <1 kB> for each", "log/subscriptions/store.ts", "KEPT_CHARACTERS"],
    ["as far as <32 MiB> hold them", "log/subscriptions/ready_messages.ts", "MAX_BYTES_IN_MEMORY"],
    ["on the log: one for each <64> contracts", "nats/reading/shared_consumers.ts", "MAX_FILTERS"],
    ["of a subscription: at most every <100 ms> while", "log/subscriptions/term.ts", "COMMIT_INTERVAL"],
    ["a write every <0.8 s> of each node", "log/subscriptions/leases.ts", "RENEW_INTERVAL"],
    ["disk for commits: the commits of the last <3 minutes>", "log/subscriptions/garbage.ts", "OLD"],
    ["and the newest <1,024> messages (4 MiB)", "log/following/event_feed.ts", "MAX_RECENT"],
    ["and the newest 1,024 messages (<4 MiB>)", "log/following/event_feed.ts", "MAX_RECENT_BYTES"],
    ["(logged every <10 minutes>, and counted", "log/subscriptions/warnings.ts", "WARNING_PAUSE"],
  ],
  "docs/workflows.md": [
    ["after pauses that double from <1 s>", "contract/declaration/defaults.ts", "STEP_PAUSES[0]"],
    ["from 1 s to <1 h>, or as `retry` says", "contract/declaration/defaults.ts", "STEP_PAUSES[1]"],
    ["for `keep` ms after its end (<7 days>)", "contract/declaration/defaults.ts", "KEEP"],
    ["(the app's, <30 s>)", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["Names, of up to <256> characters, are unique", "contract/declaration/contract.ts", "MAX_NAME_LENGTH"],
    ["A run may have <10,000> entries", "flow/execution/drive_state.ts", "MAX_ENTRIES"],
    ["and logs a warning at <1,000>", "flow/execution/drive_recorder.ts", "WARN_ENTRIES"],
    ["a text of up to <64> characters, which `app.view`", "contract/calls/flow.ts", "MAX_STAGE"],
    ["The id, 1 to <128> characters", "flow/calls/run_arguments.ts", "MAX_RUN"],
    ["Up to <1,000> runs wait within each other", "flow/execution/child_step.ts", "MAX_DEPTH"],
    ["stored together, up to <100> entries in a message", "flow/stored/notice_queue.ts", "MAX_TOGETHER"],
    ["the handler runs again, <10> times without getting further", "flow/execution/drive.ts", "HANDLER_ATTEMPTS"],
    ["A handler that throws is tried <three> times before", "flow/execution/drive.ts", "ATTEMPTS_BEFORE_WAIT"],
    ["**Its processes die** some <20> times", "flow/execution/drive.ts", "MAX_TAKEOVERS"],
    ["What waits longer than <5 s> needs", "flow/execution/wait_times.ts", "HOLD"],
    ["A run whose step takes more than <10 s> has a lease", "flow/driving/driven_runs.ts", "HELD"],
    ["With more than <256> runs a node has leases", "flow/driving/driven_runs.ts", "FEW"],
    ["for all that take more than <0.2 s>", "flow/driving/driven_runs.ts", "BRIEF"],
  ],
  "docs/entities.md": [
    ["with the same `id` within <two minutes>", "entities/stored_commands.ts", "ID_REUSE_TIME"],
    ["of the two senders may differ by <10 s>", "entities/stored_commands.ts", "MAX_CLOCK_SKEW"],
    ["The id**, the command's key, is 1 to <256> characters", "entities/entities.ts", "MAX_ID"],
    ["`DEADLOCK` after <100 ms>, not applied", "dispatch/admission.ts", "DEADLOCK_DELAY"],
    ["up to <64 MB> as text", "entities/warm_copies.ts", "MAX_CACHE_SIZE"],
    ["After <100> events it writes a snapshot", "entities/snapshots.ts", "SNAPSHOT_EVENTS"],
    ["or after <500> events", "entities/snapshots.ts", "MAX_SNAPSHOT_EVENTS"],
    ["but one a <second> of an entity", "entities/snapshots.ts", "SNAPSHOT_PAUSE"],
    ["(1 MB less 16 kB) and <512> events", "log/format/group_text.ts", "MAX_ITEMS_IN_GROUP"],
  ],
  "docs/cluster.md": [
    ["`heartbeat` (<30 s>)", "contract/declaration/defaults.ts", "HEARTBEAT"],
    ["A view has <4,096> nodes at most", "cluster/membership/membership.ts", "MAX_MEMBERS"],
    ["under load in runs of <32> requests", "cluster/routing/node_choice.ts", "RUN_LENGTH"],
    ["or left a ping unanswered for <500 ms>", "ports/evidence_of_life.ts", "SILENT_FOR"],
    ["one did within the last <5 minutes>", "cluster/membership/gaps.ts", "REMEMBERED"],
    ["it waits <500 ms> and ends with `NO_HANDLER`", "cluster/routing/waiting_calls.ts", "NO_HANDLER_WAIT"],
    ["At most <65,536> sends wait in a node", "cluster/routing/waiting_calls.ts", "MAX_WAITING"],
    ["up to <16> times without using up a retry", "cluster/routing/retry_decision.ts", "MAX_MOVES"],
    ["up to `retries` times (<3>)", "contract/declaration/defaults.ts", "RETRIES"],
    ["a random pause of up to <10 ms>", "cluster/routing/retry_decision.ts", "FIRST_BACKOFF"],
    ["(<100 ms> after `OVERLOADED`)", "cluster/routing/retry_decision.ts", "OVERLOAD_BACKOFF"],
    ["doubled each time up to <1 s>", "cluster/routing/retry_decision.ts", "MAX_BACKOFF"],
    ["keeps the last <256> frames of answers", "cluster/wire/frame_sender.ts", "MAX_FRAMES"],
    ["frames of answers, <4 MiB>, of 10 s", "cluster/wire/frame_sender.ts", "MAX_SIZE"],
    ["frames of answers, 4 MiB, of <10 s>", "cluster/wire/frame_sender.ts", "GIVE_UP_AFTER"],
    ["handlers at once for other nodes (<1,024>)", "contract/declaration/defaults.ts", "CONCURRENCY"],
    ["within `timeout` (<30,000 ms>)", "contract/declaration/defaults.ts", "DRAIN_TIMEOUT"],
    ["abort, and they have <500 ms>", "node/drain.ts", "HANDLERS_END_WITHIN"],
    ["Commands in hand wait <3 s> for a sign of life", "ports/evidence_of_life.ts", "MAY_RETURN"],
  ],
  "docs/limits.md": [
    ["a recorded result | `max_payload` less <2,048> bytes", "data/message_room.ts", "MESSAGE_OVERHEAD"],
    ["entity's command | `max_payload` less <16,384> bytes", "data/message_room.ts", "STORED_OVERHEAD"],
    ["at an [edge](http.md) | <1 MiB>", "http/edge_options.ts", "MAX_BODY"],
    ["contract or a step | <256> characters", "contract/declaration/contract.ts", "MAX_NAME_LENGTH"],
    ["message id | <256> characters", "contract/calls/send_options.ts", "MAX_ID"],
    ["id of a run | <128> characters", "flow/calls/run_arguments.ts", "MAX_RUN"],
    ["id of an entity | <256> characters", "entities/entities.ts", "MAX_ID"],
    ["key of a lock | <4,032> characters", "ports/key_value_store.ts", "MAX_LOCK_KEY"],
    ["key of the cache | <4,096> characters", "ports/key_value_store.ts", "MAX_KEY_LENGTH"],
    ["planned for 1,000; <4,096> at most", "cluster/membership/membership.ts", "MAX_MEMBERS"],
    ["for other nodes | <1,024>", "contract/declaration/defaults.ts", "CONCURRENCY"],
    ["they wait, up to <65,536>", "cluster/wire/inbound_requests.ts", "MAX_ASIDE"],
    ["for a node's turn | <65,536> messages", "cluster/wire/inbound_requests.ts", "MAX_ASIDE"],
    ["for a node | <65,536> sends", "cluster/routing/waiting_calls.ts", "MAX_WAITING"],
    ["| <100> nested sends", "node/request_builder.ts", "MAX_NESTED_SENDS"],
    ["| <512> payloads", "contract/declaration/defaults.ts", "SEND_ALL_CONCURRENCY"],
    ["| <262,144> messages, or 64 Mi", "log/publishing/publication.ts", "MAX_WAITING"],
    ["messages, or <64 Mi> characters", "log/publishing/publication.ts", "MAX_WAITING_CHARS"],
    ["| <1,024> messages for each node", "log/subscriptions/categories.ts", "MAX_OPEN_AT_NODE"],
    ["for each node; <8,192> messages", "log/subscriptions/categories.ts", "MAX_OPEN"],
    ["or <32 MiB> altogether", "log/subscriptions/term.ts", "MAX_BYTES"],
    ["| <1,024> contracts", "log/format/commit.ts", "MAX_CATEGORIES"],
    ["one command of an entity | <512> events", "log/format/group_text.ts", "MAX_ITEMS_IN_GROUP"],
    ["| <10,000> entries; a warning", "flow/execution/drive_state.ts", "MAX_ENTRIES"],
    ["a warning at <1,000> entries", "flow/execution/drive_recorder.ts", "WARN_ENTRIES"],
    ["| <1,000> runs", "flow/execution/child_step.ts", "MAX_DEPTH"],
    ["| <3> retries, besides", "contract/declaration/defaults.ts", "RETRIES"],
    ["besides <16> moves", "cluster/routing/retry_decision.ts", "MAX_MOVES"],
    ["| <8> conflicts", "entities/command.ts", "MAX_CONFLICTS"],
    ["with its retries | <30 s>", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["or of a step | <30 s>", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["that nobody handles | <500 ms>", "cluster/routing/waiting_calls.ts", "NO_HANDLER_WAIT"],
    ["silent after <500 ms>", "ports/evidence_of_life.ts", "SILENT_FOR"],
    ["`heartbeat` (<30 s>) for one", "contract/declaration/defaults.ts", "HEARTBEAT"],
    ["a drain | up to <30 s>", "contract/declaration/defaults.ts", "DRAIN_TIMEOUT"],
    ["and they have <500 ms>", "node/drain.ts", "HANDLERS_END_WITHIN"],
    ["after its holder died | <10 s>", "contract/declaration/defaults.ts", "LOCK_TTL"],
    ["| <30 s> of waiting", "contract/declaration/defaults.ts", "LOCK_TIMEOUT"],
    ["command is kept | a <day>", "contract/declaration/defaults.ts", "RESULT_TTL"],
    ["| <7 days> in the log", "contract/declaration/defaults.ts", "KEEP"],
    ["{ keep }`, <2 minutes> or more", "contract/declaration/contract_options.ts", "LEAST_KEEP"],
    ["stored once | within <2 minutes>", "nats/log/log_settings.ts", "DUPLICATE_WINDOW"],
    ["applied once | within <2 minutes>", "entities/stored_commands.ts", "ID_REUSE_TIME"],
    ["after its end | <7 days>", "contract/declaration/defaults.ts", "KEEP"],
    ["attempts of a step | <1 s> to", "contract/declaration/defaults.ts", "STEP_PAUSES[0]"],
    ["attempts of a step | 1 s to <1 h>", "contract/declaration/defaults.ts", "STEP_PAUSES[1]"],
    ["for an item | <30 s>", "contract/declaration/defaults.ts", "IDLE"],
    ["at an edge | <10 s> to arrive", "http/edge_options.ts", "BODY_TIMEOUT"],
    ["each parked message up to <1 kB>", "log/subscriptions/store.ts", "KEPT_CHARACTERS"],
    ["at most <32 MiB> of messages", "log/subscriptions/ready_messages.ts", "MAX_BYTES_IN_MEMORY"],
    ["up to <64 MB> as text", "entities/warm_copies.ts", "MAX_CACHE_SIZE"],
    ["the newest <1,024> events", "log/following/event_feed.ts", "MAX_RECENT"],
    ["is followed, <4 MiB> at most", "log/following/event_feed.ts", "MAX_RECENT_BYTES"],
    ["a snapshot after <100> events", "entities/snapshots.ts", "SNAPSHOT_EVENTS"],
    ["1 write every <0.8 s>", "log/subscriptions/leases.ts", "RENEW_INTERVAL"],
    ["at most 1 every <100 ms>", "log/subscriptions/term.ts", "COMMIT_INTERVAL"],
    ["for each <64> contracts", "nats/reading/shared_consumers.ts", "MAX_FILTERS"],
    ["that lasts more than <5 s>", "flow/execution/wait_times.ts", "HOLD"],
    ["| <32> names, each", "node/app_options.ts", "MAX_CARRIED"],
    ["| <32> paths, each", "contract/declaration/redaction.ts", "MAX_PATHS"],
    ["32 paths, each of <256> characters", "contract/declaration/redaction.ts", "MAX_PATH_LENGTH"],
    ["`max_payload` less <40 KiB>", "data/message_room.ts", "SEALED_OVERHEAD"],
    ["| <128> characters long", "http/edge_actions.ts", "MAX_KEY"],
    ["| <64> characters of text", "contract/calls/flow.ts", "MAX_STAGE"],
    ["the last <five>, 16,384", "log/format/logged_message.ts", "EARLIER"],
    ["the last five, <16,384> characters", "log/format/logged_message.ts", "MAX_EARLIER_PAYLOAD"],
    ["keeps of its cause | <4 kB>", "data/cause_text.ts", "MAX_CAUSE"],
    ["| <65,536> open requests", "cluster/interop/plain_calls.ts", "MAX_UNDER_WAY"],
    ["(observability.md#statistics-on-request) | <256 KiB>", "data/message_room.ts", "LARGEST_NODE_ANSWER"],
  ],
  "docs/retries.md": [
    ["<3> retries within the send's", "contract/declaration/defaults.ts", "RETRIES"],
    ["`timeout` (<30 s>), besides", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["besides up to <16> moves", "cluster/routing/retry_decision.ts", "MAX_MOVES"],
    ["for <7 days>, no attempt", "contract/declaration/handler.ts", "OUTAGE"],
    ["without end, pauses from <1 s> to", "contract/declaration/defaults.ts", "STEP_PAUSES[0]"],
    ["pauses from 1 s to <1 h>; with", "contract/declaration/defaults.ts", "STEP_PAUSES[1]"],
  ],
  "docs/outcomes.md": [
    ["by its deadline (`timeout`, <30 s>)", "contract/declaration/defaults.ts", "TIMEOUT"],
    ["a <day> after its handler ended", "contract/declaration/defaults.ts", "RESULT_TTL"],
    ["command of an entity | <two minutes>;", "entities/stored_commands.ts", "ID_REUSE_TIME"],
    ["`publish`, `enqueue` | <two minutes> [at least]", "nats/log/log_settings.ts", "DUPLICATE_WINDOW"],
  ],
  "docs/observability.md": [
    ["after the first <100> that are not Catga's", "behaviors/metrics.ts", "MAX_CODES"],
    ["its open runs each <minute>", "behaviors/open_runs.ts", "COUNT_INTERVAL"],
    ["An answer has <256 KiB> at most", "data/message_room.ts", "LARGEST_NODE_ANSWER"],
    ["since the last timed one, up to <4,096>", "dispatch/contract_counts.ts", "MAX_STRIDE"],
    ["Codes after the first <64> of a contract", "dispatch/contract_counts.ts", "MAX_CODES"],
    ["contracts after the first <16,384>", "dispatch/contract_counts.ts", "MAX_CONTRACTS"],
  ],
  "docs/security.md": [
    ["Up to <32> paths", "contract/declaration/redaction.ts", "MAX_PATHS"],
    ["each of up to <256> characters", "contract/declaration/redaction.ts", "MAX_PATH_LENGTH"],
    ["`max_payload` less <40 KiB>", "data/message_room.ts", "SEALED_OVERHEAD"],
    [
      "bounded ([limits of the wire](internals/wire.md#limits)): <4,096> processes",
      "cluster/wire/peer.ts",
      "MAX_PEERS",
    ],
    ["<1,024> pings at once", "cluster/membership/unproven.ts", "BURST"],
    ["pings at once and <256> a second", "cluster/membership/unproven.ts", "RATE"],
    ["<65,536> open plain requests", "cluster/interop/plain_calls.ts", "MAX_UNDER_WAY"],
  ],
  "docs/cli.md": [
    ["the snapshots of <200> entities of each type", "check/stored.ts", "MAX_SNAPSHOTS"],
  ],
};

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Units in figures: in ms, or in bytes or characters. The pages write 64 kB and 64 MB for powers of two, too. */
const UNITS: Readonly<Record<string, number>> = {
  ...{ ms: 1, s: SECOND, second: SECOND, minute: MINUTE, minutes: MINUTE, h: HOUR, day: DAY, days: DAY },
  ...{ kB: 1_024, KiB: 1_024, MB: 1_048_576, MiB: 1_048_576, Mi: 1_048_576 },
};
const WORDS: Readonly<Record<string, number>> = { two: 2, three: 3, five: 5 };

/** The value of a figure, such as `1,024`, `30 s`, `64 MiB`, `two minutes` or `day`. */
function valueOf(figure: string): number {
  const [, number = "1", unit] = /^([\d.,]+|two|three|five)? ?([A-Za-z]+)?$/.exec(figure) ?? [];
  return (WORDS[number] ?? Number(number.replaceAll(",", ""))) * (unit === undefined ? 1 : UNITS[unit] ?? NaN);
}

/** The value of a constant of numbers in a source, or of an element of one, such as `PAUSES[0]`. */
function constantOf(source: string, name: string): unknown {
  const [, own, element] = /^(\w+)(?:\[(\d)\])?$/.exec(name) ?? [];
  const [, text = "NaN"] = new RegExp(`^(?:export )?const ${own}\\b[^=]*= ([^;]+);`, "m").exec(source) ?? [];
  const resolved = text.replaceAll(/\b[A-Z][A-Z_]+\b/g, (other) => `(${constantOf(source, other)})`);
  const plain = resolved.replace(/^Object\.freeze\((.*)\)$/s, "$1").replace(/ as const/, "");
  if (!/^[\d_.*+\-() ,[\]]+$/.test(plain)) return `not a number: ${text}`;
  const value = Function(`return ${plain}`)();
  return element === undefined ? value : value[element];
}

/** Returns what is wrong with the figures of the pages: texts that a page has no more, and other values. */
export async function wrongFigures(): Promise<string[]> {
  const wrong: string[] = [];
  for (const [page, figures] of Object.entries(FIGURES)) {
    const text = (await read(page)).replaceAll(/\s+/g, " ");
    for (const [told, file, constant] of figures) {
      const [, figure] = /<(.+?)>/.exec(told)!;
      if (!text.includes(told.replace(`<${figure}>`, figure))) wrong.push(`${page} does not say: ${told}`);
      const value = constantOf(await read(`src/${file}`), constant);
      if (value !== valueOf(figure)) wrong.push(`${page}: ${told}: ${constant} of src/${file} is ${value}`);
    }
  }
  return wrong;
}
