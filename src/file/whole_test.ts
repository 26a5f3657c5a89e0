/** Backups of a file in use, and damaged files: what is named, and what of them can be exported. */
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../error.ts";
import { systemDriver } from "./driver.ts";
import type { OpenedFile } from "./open.ts";
import { type TestFolder, testFolder } from "./support_suite.ts";
import { backUp, damagesOf, exportWhole } from "./whole.ts";

const OPTIONS = { subjects: ["log.>"], replicas: 1, schedules: true };
const SIZE = 4_096;

let folder: TestFolder;
beforeEach(async () => void (folder = await testFolder()));
afterEach(() => folder[Symbol.asyncDispose]());

const at = (name: string) => join(folder.path, name);

async function fill(file: OpenedFile, from: number, to: number): Promise<void> {
  const stream = await file.log().open("log", OPTIONS);
  const bucket = await file.store.open("bucket");
  await Promise.all(Array.from({ length: to - from }, async (_, i) => {
    await stream.append(`log.${(from + i) % 5}`, `${from + i} ${"x".repeat(200)}`, { timeout: 60_000 });
    await bucket.put(`k${from + i}`, `${from + i}`);
  }));
}

async function numbers(file: OpenedFile): Promise<number[]> {
  const stream = await file.log().open("log", OPTIONS);
  const all: number[] = [];
  for (let from = 0;;) {
    const read = await stream.read("log.>", { from });
    if (read.length === 0) return all;
    all.push(...read.map(({ data }) => Number(new TextDecoder().decode(data).split(" ")[0])));
    from = read[read.length - 1].sequence + 1;
  }
}

describe("backUp", () => {
  it("copies a file in use as it is at one moment; the copy starts as it is, and nothing is overwritten", async () => {
    const file = await folder.open();
    await fill(file, 0, 100);
    await backUp(at("app.db"), at("copy.db"), systemDriver);
    await fill(file, 100, 120);
    const again = await assertRejects(() => backUp(at("app.db"), at("copy.db"), systemDriver), CatgaError);
    assertEquals(again.code, "UNAVAILABLE");
    assertEquals(damagesOf(at("copy.db"), systemDriver), []);
    const copy = await folder.open({ path: at("copy.db") });
    assertEquals(await numbers(copy), Array.from({ length: 100 }, (_, i) => i));
    assertEquals((await numbers(file)).length, 120);
  });

  it("leaves no file where it could not be written", async () => {
    const file = await folder.open();
    await fill(file, 0, 2);
    const lost = join(folder.path, "none", "copy.db");
    assertEquals((await assertRejects(() => backUp(at("app.db"), lost, systemDriver), CatgaError)).code, "UNAVAILABLE");
    assertEquals(systemDriver.status(`${lost}-part`), undefined);
  });
});

describe("a damaged file", () => {
  it("names each torn page, whichever it is, and everything else can be exported", { timeout: 300_000 }, async () => {
    const file = await folder.open();
    await fill(file, 0, 60);
    await file.close();
    const whole = await readFile(at("app.db"));
    const pages = whole.length / SIZE;
    assertEquals(damagesOf(at("app.db"), systemDriver), []);
    let [least, named] = [Infinity, 0];
    for (let page = 2; page <= pages; page++) {
      const torn = Buffer.from(whole);
      // the second half of the page was not written: it has what another page has there
      torn.copyWithin((page - 1) * SIZE + 8, (page % pages) * SIZE + 8, (page % pages) * SIZE + SIZE - 8);
      if (torn.equals(whole)) continue;
      await writeFile(at("torn.db"), torn);
      const damages = damagesOf(at("torn.db"), systemDriver);
      if (damages.length > 0) named++;
      await rm(at("export.db"), { force: true });
      const exported = await exportWhole(at("torn.db"), at("export.db"), systemDriver).catch((error) => error);
      // the list of streams may stand on that page
      if (exported instanceof Error) continue;
      assertEquals(damagesOf(at("export.db"), systemDriver), [], `page ${page}`);
      const copy = await folder.open({ path: at("export.db") });
      const found = await numbers(copy).catch(() => []);
      const entries = (await (await copy.store.open("bucket")).entries("")).length;
      // a page of an empty table has nothing to lose
      if (damages.length === 0) assertEquals([found.length, entries], [60, 60], `page ${page}`);
      assertEquals(found, found.toSorted((a, b) => a - b), `page ${page}`);
      if (damages.every(({ about }) => about === "the stream log") && found.length > 0) {
        least = Math.min(least, found.length);
      }
      await copy.close();
    }
    // a page has at most 19 of these messages
    assert(least >= 40, `${least}`);
    assert(named > pages / 2, `${named} of ${pages}`);
  });

  it("lacks its log: that is named, and a look at it does not hide it from the next start", async () => {
    const file = await folder.open();
    await fill(file, 0, 3);
    await copyFile(at("app.db"), at("alone.db"));
    const damages = damagesOf(at("alone.db"), systemDriver);
    assertEquals(damages.length, 1);
    assert(damages[0].message.includes("-wal is missing"));
    const refused = await assertRejects(() => folder.open({ path: at("alone.db") }), CatgaError);
    assert(refused.message.includes("-wal is missing"));
  });

  it("has counters that do not fit its rows: that is named", async () => {
    const file = await folder.open();
    await fill(file, 0, 3);
    await file.close();
    const database = systemDriver.open(at("app.db"));
    database.exec("DELETE FROM m1 WHERE seq = (SELECT max(seq) FROM m1)");
    database.close();
    assertEquals(damagesOf(at("app.db"), systemDriver), [
      { about: "the stream log", message: "it has 2 messages, and counts 3" },
    ]);
  });
});
