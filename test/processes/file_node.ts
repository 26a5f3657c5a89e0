/**
 * A program on a file, which writes down each effect of its handlers and each answer that it gets, so that
 * `test/faults/file_kills_test.ts` can kill it and compare.
 *
 *   file_node.ts load FOLDER FIRST COUNT   puts load on it from the number FIRST on, and kills itself a moment after
 *                                          COUNT answers
 *   file_node.ts check FOLDER              starts on the file, asks for everything that was acknowledged, and reports
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { catga, command, event, unwrap, workflow } from "@catga/catga";
import { eventually } from "../support/eventually.ts";

/** Answer of the program after a start that checks, or after a start under load. */
export interface FileNodeLine {
  /** Time from the call of `catga` to its return, in ms. */
  readonly up?: number;
  /** What is wrong: a line each. */
  readonly wrong?: readonly string[];
  /** How many things were acknowledged before. */
  readonly acknowledged?: number;
  /** Tokens of a lock, over all starts. */
  readonly tokens?: readonly number[];
  /** Steps of workflows and events that ran more than once. */
  readonly again?: number;
}

const [mode, folder, first = "0", count = "0"] = process.argv.slice(2);
const [effects, answers] = [join(folder, "effects.txt"), join(folder, "answers.txt")];
const note = (file: string, line: string) => appendFileSync(file, `${line}\n`);
const linesOf = (file: string) => readFileSync(file, "utf8").split("\n").filter((line) => line !== "");

const Pair = workflow<number, number>("Pair");
const Told = event<{ i: number; key: string }>("Told", { durable: true, key: ({ key }) => key });
const Once = command<number, number>("Once", { idempotent: true });

const handlers = [
  Pair.handle(async (flow, i) => {
    await flow.step("first", () => note(effects, `first ${i}`));
    await flow.sleep("pause", 200 + (i % 20) * 10);
    await flow.step("second", () => note(effects, `second ${i}`));
    return i;
  }),
  Told.on(({ i, key }) => note(effects, `told ${key} ${i}`), { name: "hears" }),
  Told.on(({ i, key }) => note(effects, `ahead ${key} ${i}`), {
    name: "ahead",
    ahead: ({ key }) => key === "0" ? 600_000 : 0,
  }),
  Told.on(async ({ i, key }) => {
    await app.clock.sleep(2); // others come meanwhile, of which the newest waits
    note(effects, `last ${key} ${i}`);
  }, { name: "last", limit: { key: ({ key }) => key, running: 1, over: "last" } }),
  Once.handle((i) => {
    note(effects, `once ${i}`);
    return 2 * i;
  }),
];

// before the program runs on the file: events that were handled while their rows were lost are found here alone
const stored = mode === "check" ? storedEvents() : undefined;
const warnings: string[] = [];
const since = performance.now();
await using app = await catga({
  handlers,
  file: join(folder, "app.db"),
  logger: {
    debug() {},
    info() {},
    warn: (text) => void warnings.push(text),
    error: (text) => void warnings.push(text),
  },
});
console.log(JSON.stringify({ up: performance.now() - since }));

if (mode === "load") {
  let left = Number(count);
  const answer = (line: string) => {
    note(answers, line);
    // a random moment later: at the moment of an answer a turn has just been committed
    if (--left === 0) setTimeout(() => process.kill(process.pid, "SIGKILL"), Math.random() * 30);
  };
  await using lock = await app.lock("one");
  answer(`token ${lock.token}`);
  await Promise.all(Array.from({ length: 12 }, async (_, worker) => {
    for (let i = Number(first) + worker;; i += 12) {
      if ((await app.start(Pair, i, { id: `run-${i}` })).ok) answer(`run ${i}`);
      if ((await app.publish(Told, { i, key: `${i % 5}` })).ok) answer(`told ${i % 5} ${i}`);
      if ((await app.send(Once, i, { id: `once-${i}` })).ok) answer(`once ${i}`);
    }
  }));
}

const acknowledged = linesOf(answers).map((line) => line.split(" "));
const numbers = (kind: string) => acknowledged.filter(([first]) => first === kind).map((words) => Number(words.at(-1)));
const wrong: string[] = [...warnings.filter((text) => /lost|copy|damaged/.test(text))];
for (const [of, file] of [["acknowledged", answers], ["handled", effects]] as const) {
  for (const line of new Set(linesOf(file))) {
    if (line.startsWith("told ") && !stored!.has(line)) wrong.push(`${line} was ${of}, and is not stored`);
  }
}
if (wrong.length > 0) {
  // what is lost would be waited for in vain
  console.log(JSON.stringify({ wrong, acknowledged: acknowledged.length }));
  process.exit();
}
for (const i of numbers("run")) {
  const result = await app.result(Pair, `run-${i}`, { timeout: 120_000 });
  if (!result.ok || result.value !== i) wrong.push(`run ${i} has not ended with its result: ${result.error?.message}`);
}
const published = acknowledged.filter(([kind]) => kind === "told").map((words) => words.join(" "));
const newest = new Map([...stored!.keys()].map((line) => [line.split(" ")[1], line]));
await eventually("all events, and of those of which only the newest waits the last one", () => {
  const seen = new Set(linesOf(effects));
  const isSeenBy = (name: string) => (line: string) => seen.has(line.replace("told", name));
  return ["told", "ahead"].every((name) => published.every(isSeenBy(name))) &&
    [...newest.values()].every(isSeenBy("last"));
});
const handled = linesOf(effects);
for (const i of numbers("once")) {
  const value = unwrap(await app.send(Once, i, { id: `once-${i}` }));
  if (value !== 2 * i) wrong.push(`once ${i} gave ${value}`);
}
for (const i of numbers("run")) {
  for (const step of ["first", "second"]) if (!handled.includes(`${step} ${i}`)) wrong.push(`${step} ${i} is missing`);
}
const ofOnce = linesOf(effects).filter((line) => line.startsWith("once "));
const runOfOnce = new Map<string, number>();
for (const line of ofOnce) runOfOnce.set(line, (runOfOnce.get(line) ?? 0) + 1);
for (const i of numbers("once")) {
  // acknowledged, so recorded: asking again does not run it again
  if (runOfOnce.get(`once ${i}`) !== 1) wrong.push(`once ${i} ran ${runOfOnce.get(`once ${i}`)} times`);
}
// of those of which only the newest waits, one that was skipped may run after a kill, before the newest runs again
for (const name of ["told", "ahead"]) {
  for (let key = 0; key < 5; key++) {
    const own = handled.filter((line) => line.startsWith(`${name} ${key} `));
    const firsts = [...new Set(own.map((line) => Number(line.split(" ")[2])))];
    const positions = firsts.map((i) => stored!.get(`told ${key} ${i}`) ?? -1);
    if (positions.some((at, n) => n > 0 && at < positions[n - 1])) wrong.push(`${name}: key ${key} out of order`);
  }
}

/** Reads the events that the file has, as lines of the effects, with their places in the order of the log. */
function storedEvents(): ReadonlyMap<string, number> {
  const database = new DatabaseSync(join(folder, "app.db"), { readOnly: true });
  const { number } = database.prepare("SELECT number FROM stream WHERE name = 'catga_default_log'").get() as {
    number: number;
  };
  const rows = database.prepare(
    `SELECT CAST(m.data AS TEXT) AS text FROM m${number} m JOIN s${number} s ON s.id = m.subject ` +
      "WHERE s.name = 'catga.default.log.Told' ORDER BY m.seq",
  ).all() as { text: string }[];
  database.close();
  const events = rows.flatMap(({ text }) => [...text.matchAll(/"i":(\d+),"key":"(\d)"/g)]);
  return new Map(events.map(([, i, key], place) => [`told ${key} ${i}`, place]));
}

const tokens = numbers("token");
const again = handled.length - new Set(handled).size;
console.log(JSON.stringify({ wrong, acknowledged: acknowledged.length, tokens, again }));
await app.drain();
