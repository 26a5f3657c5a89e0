/** Tools beside the process of a file: what they read, and the requests by which they change something. */
import { afterEach, beforeEach, describe, it } from "node:test";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../error.ts";
import { systemRandom } from "../ports/clock.ts";
import type { Change, KeyValueStore } from "../ports/key_value_store.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { type FileBeside, openBeside } from "./beside.ts";
import { type FileDriver, systemDriver } from "./driver.ts";
import { RequestDesk, RequestSender, requestsPath, type RequestTarget } from "./requests.ts";
import { type TestFolder, testFolder } from "./support_suite.ts";

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };
const NODE = {
  bucket: "nodes",
  id: "n",
  record: "{}",
  load: () => [2, 0] as const,
  stats: () => Promise.resolve("{}"),
};

let folder: TestFolder;
const opened: FileBeside[] = [];
beforeEach(async () => void (folder = await testFolder()));
afterEach(async () => {
  for (const file of opened.splice(0)) file.close();
  await folder[Symbol.asyncDispose]();
});

async function beside(): Promise<FileBeside> {
  const file = await openBeside({ path: join(folder.path, "app.db"), random: systemRandom() });
  opened.push(file);
  return file;
}

describe("FileBeside", () => {
  it("reads what the owner has stored before and after it was opened, also while it follows", async () => {
    const owner = await folder.open();
    const stream = await owner.log().open("log", OPTIONS);
    const append = async (subject: string, text: string) => {
      assertEquals((await stream.append(subject, text, { timeout: 60_000 })).type, "stored");
    };
    await append("log.a", "1");
    const bucket = await owner.store.open("bucket");
    await bucket.put("k", "1");
    const tool = await beside();
    const read = await tool.log.open("log", OPTIONS);
    const changes: Change[] = [];
    const end = new AbortController();
    await tool.bucket("bucket", false)!.watch("", (change) => changes.push(change), end);
    const followed: string[] = [];
    const reader = read.follow({
      subjects: ["log.>"],
      after: undefined,
      onMessage: ({ data }) => void followed.push(new TextDecoder().decode(data)),
      onStart() {},
      onFault(error) {
        throw error;
      },
    });
    await eventually("the first message", () => followed.length === 1);
    await append("log.b", "2");
    await bucket.put("k", "2");
    await bucket.put("l", "1");
    await bucket.delete("l");
    assertEquals((await read.read("log.>", { from: 0 })).map(({ subject }) => subject), ["log.a", "log.b"]);
    assertEquals((await read.state())?.messages, 2);
    assertEquals((await tool.bucket("bucket", false)!.get("k"))?.value, "2");
    await eventually("the second message", () => followed.length === 2);
    await eventually("the last value", () => changes.some((change) => change.type === "put" && change.value === "2"));
    reader.close();
    end.abort();
    assertEquals(followed, ["1", "2"]);
    const { messages, bytes } = (await stream.state())!;
    assertEquals(tool.parts(), [{ name: "log", messages, bytes }, { name: "bucket", messages: 1, bytes: 1 }]);
  });

  it("changes by requests to the owner, which other readers see; the owner still has the file alone", async () => {
    const owner = await folder.open();
    const stream = await owner.log().open("log", OPTIONS);
    const locks = await owner.store.open("locks", { ofProcesses: true });
    const revision = await locks.create("held", "x");
    owner.serve(NODE);
    const tool = await beside();
    const asked = await tool.log.open("log", OPTIONS);
    const first = await asked.append("log.a", "1", { timeout: 60_000, expect: 0 });
    assertEquals(first.type, "stored");
    assertEquals(await asked.append("log.a", "2", { timeout: 60_000, expect: 0 }), { type: "conflict" });
    assertEquals((await asked.append("other", "2", { timeout: 60_000 })).type, "not stored");
    assertEquals((await stream.read("log.>", { from: 0 })).length, 1);
    assertEquals(await asked.purge("log.a"), 1);
    const bucket = tool.bucket("locks", true)!;
    assertEquals((await bucket.entries("")).map(({ key }) => key), ["held"]);
    assertEquals(await bucket.delete("held", { revision: revision! + 1 }), false);
    assertEquals(await bucket.delete("held", { revision }), true);
    assertEquals(await locks.get("held"), undefined);
    assertEquals(await tool.request({ op: "ping" }), [2, 0]);
    const refused = await assertRejects(() => folder.open(), CatgaError);
    assertEquals([refused.code, tool.owner()?.pid], ["UNAVAILABLE", process.pid]);
  });

  it("without a process it makes the change itself, and the next process has it", async () => {
    const before = await folder.open();
    await before.log().open("log", OPTIONS);
    const locks = await before.store.open("locks", { ofProcesses: true });
    await locks.create("held", "x");
    await before.close();
    const tool = await beside();
    const stream = await tool.log.open("log", OPTIONS);
    assertEquals((await stream.append("log.a", "1", { timeout: 60_000 })).type, "stored");
    assertEquals((await stream.read("log.>", { from: 0 })).length, 1);
    // whoever held the lock has ended
    assertEquals([await tool.bucket("locks", true)!.entries(""), await tool.request({ op: "ping" })], [[], null]);
    const next = await folder.open();
    assertEquals((await (await next.log().open("log", OPTIONS)).read("log.>", { from: 0 })).length, 1);
    const missing = openBeside({ path: join(folder.path, "none.db"), random: systemRandom() });
    assertEquals((await assertRejects(() => missing, CatgaError)).code, "UNAVAILABLE");
    assertEquals(systemDriver.status(join(folder.path, "none.db")), undefined);
  });

  it("leaves a file that no process uses without a log, as it was", async () => {
    const owner = await folder.open();
    await (await owner.store.open("bucket")).put("k", "1");
    await owner.close();
    const tool = await openBeside({ path: join(folder.path, "app.db"), random: systemRandom() });
    assertEquals((await tool.bucket("bucket", false)!.get("k"))?.value, "1");
    tool.close();
    assertEquals(systemDriver.status(join(folder.path, "app.db-wal")), undefined);
  });
});

describe("requests to the owner of a file", () => {
  const put = { op: "delete", bucket: "b", settings: { direct: false, replicas: 1 }, key: "k" } as const;
  const path = () => requestsPath(join(folder.path, "app.db"));
  const deskOf = (clock: VirtualClock, store: Partial<KeyValueStore>) => {
    const target = { store, log: () => assert(false), node: undefined } as unknown as RequestTarget;
    return new RequestDesk({
      ...{ path: path(), driver: systemDriver, clock, target },
      onFault(error) {
        throw error;
      },
    });
  };
  const removing = (removed: string[]): Partial<KeyValueStore> => ({
    open: () => Promise.resolve({ delete: (key: string) => Promise.resolve(removed.push(key) > 0) } as never),
  });

  it("are carried out within 250 ms, in order, each once", async () => {
    const clock = new VirtualClock();
    const removed: string[] = [];
    const desk = deskOf(clock, removing(removed));
    const sender = new RequestSender(path(), systemDriver, clock, "tool");
    const answers = ["1", "2", "3"].map((key) => sender.ask({ ...put, key }, "", 5_000));
    await clock.advance(260);
    assertEquals(removed, ["1", "2", "3"]);
    assertEquals(await clock.until(Promise.all(answers)), [true, true, true]);
    // while a tool asks, the next one is answered at once
    const next = sender.ask({ ...put, key: "4" }, "", 5_000);
    await clock.advance(10);
    assertEquals(removed.at(-1), "4");
    await clock.until(next);
    await clock.advance(10_000);
    assertEquals(removed.length, 4);
    sender.close();
    desk.close();
  });

  it("that nobody has taken in time are never carried out", async () => {
    const clock = new VirtualClock();
    const removed: string[] = [];
    const sender = new RequestSender(path(), systemDriver, clock, "tool");
    const asked = sender.ask(put, "", 1_000).catch((error: CatgaError) => error.code);
    await clock.advance(1_100);
    assertEquals(await asked, "UNAVAILABLE");
    const desk = deskOf(clock, removing(removed));
    await clock.advance(1_000);
    assertEquals(removed, []);
    sender.close();
    desk.close();
  });

  it("that were taken, and not answered, have an unknown outcome", async () => {
    const clock = new VirtualClock();
    const desk = deskOf(clock, { open: () => new Promise<never>(() => {}) });
    const sender = new RequestSender(path(), systemDriver, clock, "tool");
    const asked = sender.ask(put, "", 1_000).catch((error: CatgaError) => error.code);
    await clock.advance(1_100);
    assertEquals(await asked, "OUTCOME_UNKNOWN");
    sender.close();
    desk.close();
  });

  it("cost the owner nothing but a look at the folder as long as no tool has asked", async () => {
    const clock = new VirtualClock();
    let opens = 0;
    const driver: FileDriver = {
      ...systemDriver,
      open(path) {
        opens++;
        return systemDriver.open(path);
      },
    };
    const target = undefined as unknown as RequestTarget;
    const desk = new RequestDesk({ path: path(), driver, clock, target, onFault: assertNone });
    await clock.advance(10_000);
    desk.close();
    assertEquals([opens, systemDriver.status(path())], [0, undefined]);
  });
});

function assertNone(error: unknown): void {
  throw error;
}
