/** Tests of what {@link KeyValueStore} promises, which every implementation has to pass. */
import { after, afterEach, before, describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import { CatgaError } from "../error.ts";
import { type Bucket, type BucketOptions, type Change, type KeyValueStore, MAX_KEY_LENGTH } from "./key_value_store.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { eventually } from "../../test/support/eventually.ts";
import { patiently } from "../../test/support/patient.ts";

/** The implementation that is tested. */
export interface KeyValueHarness extends AsyncDisposable {
  /** Connects another client to the same store. */
  store(): Promise<KeyValueStore>;
  /** Lets `ms` milliseconds pass: in virtual time, or by waiting. */
  pass(ms: number): Promise<void>;
  /** Returns the time of the store, in ms. */
  now(): number;
}

/** Defines the tests for one implementation; they share a store, and each test has a bucket of its own. */
export function keyValueSuite(name: string, start: () => Promise<KeyValueHarness>): void {
  describe(`KeyValueStore on ${name}`, () => {
    let harness: KeyValueHarness;
    let first: KeyValueStore;
    let second: KeyValueStore;
    let buckets = 0;
    let watches = new AbortController();

    before(async () => {
      harness = await start();
      [first, second] = await Promise.all([harness.store(), harness.store()]);
    });
    afterEach(() => {
      watches.abort();
      watches = new AbortController();
    });
    after(() => harness[Symbol.asyncDispose]());

    function newName(): string {
      return `suite_${++buckets}`;
    }

    function openNew(options?: BucketOptions): Promise<Bucket> {
      return first.open(newName(), options);
    }

    /** Opens one new bucket by two clients. */
    async function openTwice(): Promise<[Bucket, Bucket]> {
      const bucket = newName();
      return [await first.open(bucket), await second.open(bucket)];
    }

    /** Watches a bucket until the test ends. Returns the list of reported changes, which grows. */
    async function follow(bucket: Bucket, prefix = "", signal?: AbortSignal): Promise<Change[]> {
      const told: Change[] = [];
      const until = signal ? AbortSignal.any([signal, watches.signal]) : watches.signal;
      await bucket.watch(prefix, (change) => told.push(change), { signal: until });
      return told;
    }

    /**
     * Waits until changes of `keys` keys were reported, and returns the first change of each key. Asserts that each
     * change was reported once; a write that a busy server did not answer at once is repeated, and that is another
     * change.
     */
    async function oneOfEach(told: readonly Change[], keys: number): Promise<Change[]> {
      const first = () => new Map(told.toReversed().map((change) => [change.key, change]));
      await eventually("every key", () => first().size === keys);
      assertEquals(new Set(told.map(({ revision }) => revision)).size, told.length);
      return [...first().values()];
    }

    describe("open", () => {
      it("open: counts the entries that the bucket has, each key once", async () => {
        const name = newName();
        const bucket = await first.open(name);
        assertEquals(bucket.size, 0);
        for (const key of ["a", "b", "c"]) await bucket.put(key, "1");
        await bucket.put("b", "2");
        assertEquals((await second.open(name)).size, 3);
      });

      it("open: gives the same bucket to every client, by its name", async () => {
        const [mine, yours] = await openTwice();
        assertEquals(mine.name, yours.name);
        await mine.put("key", "value");
        assertEquals((await yours.get("key"))?.value, "value");
      });

      it("open: 20 at once make one bucket", async () => {
        const bucket = newName();
        const opened = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? first : second).open(bucket)));
        const written = await Promise.all(opened.map((each, i) => each.create("key", String(i))));
        assertEquals(written.filter((revision) => revision !== undefined).length, 1);
      });

      it("open: buckets keep their keys apart", async () => {
        const [red, blue] = [await openNew(), await openNew()];
        await red.put("key", "red");
        assertEquals(await blue.get("key"), undefined);
        assertEquals(await blue.entries(""), []);
      });

      it("open: a bucket that exists with other settings is BUCKET_MISMATCH, naming the setting", async () => {
        const bucket = newName();
        await first.open(bucket, { direct: true });
        await second.open(bucket, { direct: true });
        const direct = await assertRejects(() => second.open(bucket), CatgaError);
        assertEquals(direct.code, "BUCKET_MISMATCH");
        assertStringIncludes(direct.message, "direct");
        assertStringIncludes(direct.message, bucket);
        const replicas = await assertRejects(() => second.open(bucket, { direct: true, replicas: 3 }), CatgaError);
        assertEquals(replicas.code, "BUCKET_MISMATCH");
        assertStringIncludes(replicas.message, "replicas");
      });

      it("open: a name of other characters than letters, digits, - and _ is a TypeError", async () => {
        for (const bad of ["", "a.b", "a b", "a*", ">", "ä", "a/b", "a\n"]) {
          await assertRejects(() => first.open(bad), TypeError, JSON.stringify(bad));
        }
      });

      it("direct: a bucket with direct reads is read and written like every other", async () => {
        const bucket = await openNew({ direct: true });
        const revision = await bucket.put("key", "value");
        await eventually("the entry", () => bucket.get("key"));
        assertEquals(await bucket.get("key"), { key: "key", value: "value", revision });
      });
    });

    describe("writes", () => {
      it("get: gives key, value and revision of an entry, and undefined where there is none", async () => {
        const bucket = await openNew();
        assertEquals(await bucket.get("key"), undefined);
        const revision = await bucket.create("key", "value");
        assertEquals(await bucket.get("key"), { key: "key", value: "value", revision: revision! });
      });

      it("create: is undefined where there is an entry, and leaves that alone", async () => {
        const [mine, yours] = await openTwice();
        const revision = await mine.create("key", "mine");
        assertEquals(await yours.create("key", "yours"), undefined);
        assertEquals(await mine.get("key"), { key: "key", value: "mine", revision: revision! });
      });

      it("update: writes over the revision that it names and no other", async () => {
        const [mine, yours] = await openTwice();
        const old = await mine.put("key", "1");
        const renewed = await yours.update("key", "2", old);
        assertEquals(await mine.update("key", "late", old), undefined);
        assertEquals(await mine.update("key", "never", renewed! + 1_000), undefined);
        assertEquals(await mine.get("key"), { key: "key", value: "2", revision: renewed! });
      });

      it("update: is undefined where there is no entry, for revision 0 too, and writes nothing", async () => {
        const bucket = await openNew();
        assertEquals(await bucket.update("never", "value", 0), undefined);
        assertEquals(await bucket.update("never", "value", 1), undefined);
        const revision = await bucket.put("gone", "value");
        await bucket.delete("gone");
        assertEquals(await bucket.update("gone", "value", revision), undefined);
        assertEquals(await bucket.update("gone", "value", 0), undefined);
        assertEquals(await bucket.entries(""), []);
      });

      it("put: writes where there is no entry, and over one of any revision", async () => {
        const [mine, yours] = await openTwice();
        await mine.put("key", "1");
        const revision = await yours.put("key", "2");
        assertEquals(await mine.get("key"), { key: "key", value: "2", revision });
      });

      it("delete: removes an entry, and the key may be created again", async () => {
        const [mine, yours] = await openTwice();
        await mine.put("key", "1");
        assertEquals(await yours.delete("key"), true);
        assertEquals(await mine.get("key"), undefined);
        assertEquals(await mine.entries(""), []);
        assert(await mine.create("key", "2") !== undefined);
        assertEquals((await yours.get("key"))?.value, "2");
      });

      it("delete: with a revision removes the entry at that revision only", async () => {
        const bucket = await openNew();
        const old = await bucket.put("key", "1");
        const revision = await bucket.put("key", "2");
        assertEquals(await bucket.delete("key", { revision: old }), false);
        assertEquals((await bucket.get("key"))?.value, "2");
        assertEquals(await bucket.delete("key", { revision }), true);
        assertEquals(await bucket.get("key"), undefined);
      });

      it("delete: a key without an entry is true, and false when a revision was asked for", async () => {
        const bucket = await openNew();
        const revision = await bucket.put("gone", "value");
        await bucket.delete("gone");
        for (const key of ["never", "gone"]) {
          assertEquals(await bucket.delete(key), true);
          assertEquals(await bucket.delete(key, { revision }), false);
          assertEquals(await bucket.delete(key, { revision: 0 }), false);
        }
      });

      it("revisions: grow over the whole bucket, over deletion and creation too, from beyond a lost bucket's", async () => {
        const bucket = await openNew();
        const seen = [await bucket.put("a", "1"), await bucket.put("b", "1"), await bucket.create("c", "1")];
        seen.push(await bucket.update("a", "2", seen[0]!));
        await bucket.delete("a");
        seen.push(await bucket.create("a", "3"), await bucket.put("b", "2"));
        await bucket.delete("b", { revision: seen.at(-1)! });
        seen.push(await bucket.create("b", "3"));
        for (let i = 1; i < seen.length; i++) assertGreater(seen[i]!, seen[i - 1]!);
        // revisions begin with the clock in µs, which is ahead of any number of writes since then
        assertGreater(seen[0]!, 1e15);
        assert(seen.every(Number.isSafeInteger));
      });

      it("create: of two stores and 50 calls at once exactly one wins, and the entry is the winner's", async () => {
        const [mine, yours] = await openTwice();
        const racers = Array.from({ length: 50 }, (_, i) => (i % 2 ? mine : yours).create("key", String(i)));
        const revisions = await Promise.all(racers);
        const winners = revisions.flatMap((revision, i) =>
          revision === undefined ? [] : [{ revision, value: String(i) }]
        );
        assertEquals(winners.length, 1);
        assertEquals(await mine.get("key"), { key: "key", ...winners[0] });
      });

      it("update: of two stores and 50 calls at once exactly one wins, and the entry is the winner's", async () => {
        const [mine, yours] = await openTwice();
        const start = await mine.put("key", "start");
        const racers = Array.from({ length: 50 }, (_, i) => (i % 2 ? mine : yours).update("key", String(i), start));
        const revisions = await Promise.all(racers);
        const winners = revisions.flatMap((revision, i) =>
          revision === undefined ? [] : [{ revision, value: String(i) }]
        );
        assertEquals(winners.length, 1);
        assertEquals(await yours.get("key"), { key: "key", ...winners[0] });
      });

      it("update: counting up by two stores in turn and at once loses no count", async () => {
        const [mine, yours] = await openTwice();
        await mine.put("count", "0");
        const count = async (bucket: Bucket) => {
          for (let done = 0; done < 20;) {
            const entry = await bucket.get("count");
            if (await bucket.update("count", String(Number(entry!.value) + 1), entry!.revision)) done++;
          }
        };
        await Promise.all([count(mine), count(yours)]);
        assertEquals((await mine.get("count"))?.value, "40");
      });
    });

    describe("values", () => {
      it("values: empty ones, every sort of character and a million bytes come back as they were", async () => {
        const bucket = await openNew();
        const values = [
          "",
          " ",
          "0",
          "null",
          "\0\r\n\t\\\"'",
          "你好 👩‍👩‍👧 \u200f\ufeff",
          '{"a":[1]}',
          "x".repeat(1_000_000),
        ];
        for (const [i, value] of values.entries()) {
          const revision = await bucket.put(`key ${i}`, value);
          assertEquals(await bucket.get(`key ${i}`), { key: `key ${i}`, value, revision });
        }
        assertEquals((await bucket.entries("")).map((entry) => entry.value), values);
      });

      it("values: one that is too large is TOO_LARGE, with its size in bytes and the limit, and nothing is written", async () => {
        const bucket = await openNew();
        const revision = await bucket.put("kept", "value");
        const large = "é".repeat(700_000);
        for (
          const write of [
            () => bucket.put("kept", large),
            () => bucket.create("new", large),
            () => bucket.update("kept", large, revision),
          ]
        ) {
          const error = await assertRejects(write, CatgaError);
          assertEquals(error.code, "TOO_LARGE");
          assert(/1[,_ ]?400[,_ ]?000/.test(error.message), error.message);
          assert(/1[,_ ]?0\d\d[,_ ]?\d\d\d/.test(error.message), error.message);
        }
        assertEquals(await bucket.entries(""), [{ key: "kept", value: "value", revision }]);
      });
    });

    describe("keys", () => {
      it("keys: every sort of string is a key of its own, and entries gives each back exactly", async () => {
        const bucket = await openNew();
        const keys = everySortOfKey();
        assert(keys.length >= 200);
        const revisions = await Promise.all(keys.map((key) => bucket.create(key, JSON.stringify(key))));
        const lost = keys.filter((_, i) => revisions[i] === undefined);
        assertEquals(lost, [], "these keys collide with others");
        const entries = await bucket.entries("");
        assertEquals(entries.map((entry) => entry.key).sort(), keys.toSorted());
        for (const entry of entries) assertEquals(entry.value, JSON.stringify(entry.key));
        const got = await Promise.all(keys.map((key) => bucket.get(key)));
        assertEquals(got.map((entry) => entry?.key), keys);
        assertEquals(got.map((entry) => entry?.revision), revisions as number[]);
        const deleted = await Promise.all(keys.map((key, i) => bucket.delete(key, { revision: revisions[i] })));
        assert(deleted.every((each) => each));
        assertEquals(await bucket.entries(""), []);
      });

      it(
        "keys: 10,000 that are made up of all that could go wrong: none collide, none break",
        { timeout: 300_000 },
        async () => {
          const bucket = await openNew();
          const keys = [...madeUpKeys(10_000)];
          const written = new Set<number>();
          for (let i = 0; i < keys.length; i += 500) {
            const revisions = await Promise.all(
              keys.slice(i, i + 500).map((key) => {
                let late = false;
                return patiently(() => {
                  // the store may have carried out a write whose answer came too late
                  const write = late ? bucket.put : bucket.create;
                  late = true;
                  return write.call(bucket, key, `${key.length}`);
                });
              }),
            );
            for (const revision of revisions) if (revision !== undefined) written.add(revision);
          }
          assertEquals(written.size, keys.length, "these many do not collide with others");
          const entries = await patiently(() => bucket.entries(""));
          assertEquals(entries.map((entry) => entry.key).sort(), keys.toSorted());
          assert(entries.every(({ key, value }) => value === `${key.length}`));
        },
      );

      it("keys: a watch reports every sort of key exactly, current and new, put and deleted", async () => {
        const bucket = await openNew();
        const keys = everySortOfKey();
        const old = keys.filter((_, i) => i % 2 === 0);
        await Promise.all(old.map((key) => bucket.put(key, "")));
        const told = await follow(bucket);
        assertEquals(told.map((change) => change.key).sort(), old.toSorted());
        told.length = 0;
        await Promise.all(keys.filter((_, i) => i % 2 === 1).map((key) => bucket.put(key, "")));
        await Promise.all(old.map((key) => bucket.delete(key)));
        const changes = await oneOfEach(told, keys.length);
        assertEquals(changes.map((change) => change.key).sort(), keys.toSorted());
        const deleted = changes.filter((change) => change.type === "delete");
        assertEquals(deleted.map((change) => change.key).sort(), old.toSorted());
      });

      it("delete: a watch is told the note, of every sort of key", async () => {
        const bucket = await openNew();
        const keys = everySortOfKey();
        const revisions = await Promise.all(keys.map((key) => bucket.put(key, "value")));
        const told = await follow(bucket);
        told.length = 0;
        const note = (n: number) => n % 3 === 0 ? undefined : `n\n${n}`;
        const delete_ = (key: string, n: number) =>
          bucket.delete(key, { note: note(n), revision: n % 2 ? revisions[n] : undefined });
        assertEquals(new Set(await Promise.all(keys.map(delete_))), new Set([true]));
        const changes = await oneOfEach(told, keys.length);
        const seen = (change: Change) => [change.key, change.type === "delete" ? change.note : change.type];
        const expected = keys.map((key, n) => [key, note(n)]);
        const byKey = ([a]: unknown[], [b]: unknown[]) => (a as string) < (b as string) ? -1 : 1;
        assertEquals(changes.map(seen).sort(byKey), expected.sort(byKey));
      });

      it("keys: one too long is a RangeError, an ill-formed one a TypeError, in every method", async () => {
        const bucket = await openNew();
        const methods: ((key: string) => Promise<unknown>)[] = [
          (key) => bucket.get(key),
          (key) => bucket.create(key, ""),
          (key) => bucket.update(key, "", 1),
          (key) => bucket.put(key, ""),
          (key) => bucket.delete(key),
        ];
        for (const method of methods) {
          await assertRejects(() => method("k".repeat(MAX_KEY_LENGTH + 1)), RangeError);
          await assertRejects(() => method("half \ud83d of a pair"), TypeError);
        }
        assertEquals(await bucket.entries(""), []);
      });
    });

    describe("entries", () => {
      it("entries: come in the order of their revisions, each key once", async () => {
        const bucket = await openNew();
        for (const key of ["c", "a", "d", "b"]) await bucket.put(key, "1");
        await bucket.put("c", "2");
        await bucket.delete("d");
        const entries = await bucket.entries("");
        assertEquals(entries.map((entry) => entry.key + entry.value), ["a1", "b1", "c2"]);
        for (let i = 1; i < entries.length; i++) assertGreater(entries[i].revision, entries[i - 1].revision);
      });

      it("entries: a prefix is any beginning, within a word, a character's neighbourhood or a path", async () => {
        const bucket = await openNew();
        const keys = [
          "",
          "a",
          "ab",
          "a/b",
          "a/b/c",
          "a.b",
          "a.b.c",
          "a b",
          "b",
          "*",
          "*a",
          ">",
          ">>",
          "你好",
          "你们",
          "A",
        ];
        for (const key of keys) await bucket.put(key, "");
        for (const prefix of ["", "a", "a/", "a/b", "a.", "a.b", "a ", "*", ">", "你", "你好", "z", "=", "a/b/c/d"]) {
          const found = (await bucket.entries(prefix)).map((entry) => entry.key);
          assertEquals(found, keys.filter((key) => key.startsWith(prefix)), `prefix ${JSON.stringify(prefix)}`);
        }
      });
    });

    describe("watch", () => {
      it("watch: reports the current entries, in the order of their revisions, before it resolves", async () => {
        const bucket = await openNew();
        const a = await bucket.put("a", "1");
        await bucket.put("b", "1");
        await bucket.put("gone", "1");
        await bucket.delete("gone");
        const b = await bucket.put("b", "2");
        const told = await follow(bucket);
        assertEquals(told, [
          { type: "put", key: "a", value: "1", revision: a },
          { type: "put", key: "b", value: "2", revision: b },
        ]);
      });

      it("watch: of an empty bucket resolves without a call", async () => {
        assertEquals(await follow(await openNew()), []);
      });

      it("watch: reports another client's creation, update, put, deletion and second creation", async () => {
        const [mine, yours] = await openTwice();
        const told = await follow(mine);
        const expected: Change[] = [];
        const see = async (change: Change) => {
          expected.push(change);
          await eventually(`the ${change.type} of ${change.key}`, () => told.length === expected.length);
        };
        const created = (await yours.create("key", "1"))!;
        await see({ type: "put", key: "key", value: "1", revision: created });
        const updated = (await yours.update("key", "2", created))!;
        await see({ type: "put", key: "key", value: "2", revision: updated });
        const put = await yours.put("key", "");
        await see({ type: "put", key: "key", value: "", revision: put });
        await yours.delete("key", { revision: put });
        await eventually("the deletion", () => told.length === 4);
        expected.push({ type: "delete", key: "key", revision: told[3].revision });
        assertGreater(told[3].revision, put);
        const again = (await yours.create("key", "3"))!;
        assertGreater(again, told[3].revision);
        await see({ type: "put", key: "key", value: "3", revision: again });
        assertEquals(told, expected);
      });

      it("watch: under load each key's revisions grow, and the last one reported is the last one written", async () => {
        const [mine, yours] = await openTwice();
        const told = await follow(mine);
        const last = new Map<string, number>();
        const write = async (bucket: Bucket, key: string) => {
          for (let i = 0; i < 50; i++) {
            const revision = await bucket.put(key, String(i));
            last.set(key, Math.max(last.get(key) ?? 0, revision));
            if (i % 10 === 5) await bucket.delete(key);
          }
        };
        await Promise.all([write(mine, "a"), write(yours, "a"), write(mine, "b"), write(yours, "c")]);
        const newest = (key: string) => told.findLast((change) => change.key === key && change.type === "put");
        await eventually(
          "the last of each key",
          () => [...last].every(([key, revision]) => newest(key)?.revision === revision),
        );
        for (const key of last.keys()) {
          const revisions = told.filter((change) => change.key === key).map((change) => change.revision);
          for (let i = 1; i < revisions.length; i++) assertGreater(revisions[i], revisions[i - 1]);
        }
      });

      it("watch: of a key that changes while the watch begins, the last change is reported last", async () => {
        const [mine, yours] = await openTwice();
        for (let round = 0; round < 20; round++) {
          for (const key of ["written", "deleted"]) await yours.put(key, "before");
          const told: Change[] = [];
          const stop = new AbortController();
          const watching = mine.watch("", (change) => told.push(change), { signal: stop.signal });
          const [written] = await Promise.all([yours.put("written", "meanwhile"), yours.delete("deleted"), watching]);
          const end = await yours.put("end", "");
          await eventually("the last write", () => told.some(({ revision }) => revision === end));
          const of = (key: string) => told.filter((change) => change.key === key);
          await eventually("the last revision", () => of("written").at(-1)?.revision === written);
          await eventually("no entry", () => of("deleted").at(-1)?.type !== "put");
          for (const key of ["written", "deleted"]) {
            const revisions = of(key).map(({ revision }) => revision);
            assertEquals(revisions, [...new Set(revisions)].sort((a, b) => a - b));
          }
          stop.abort();
        }
      });

      it("watch: a prefix is any beginning, of current entries and of changes", async () => {
        const bucket = await openNew();
        const keys = ["a", "ab", "a/b", "a.b", "b", "*", "你好", ""];
        for (const key of keys) await bucket.put(key, "1");
        const prefixes = ["", "a", "a/", "a.", "你", "*", "z"];
        const told = await Promise.all(prefixes.map((prefix) => follow(bucket, prefix)));
        for (const key of keys) await bucket.put(key, "2");
        await eventually("all changes", () => told[0].length === 2 * keys.length);
        for (const [i, prefix] of prefixes.entries()) {
          const expected = keys.filter((key) => key.startsWith(prefix));
          await eventually(`those of ${prefix}`, () => told[i].length >= 2 * expected.length);
          assertEquals(told[i].map((change) => change.key), [...expected, ...expected], `prefix ${prefix}`);
        }
      });

      it("watch: a change is reported to every watch of a bucket", async () => {
        const [mine, yours] = await openTwice();
        const told = await Promise.all([follow(mine), follow(mine), follow(yours)]);
        const revision = await mine.put("key", "value");
        await eventually("three calls", () => told.every((each) => each.length === 1));
        for (const each of told) assertEquals(each, [{ type: "put", key: "key", value: "value", revision }]);
      });

      it("watch: nothing is reported after the signal aborts; other watches go on", async () => {
        const bucket = await openNew();
        const stop = new AbortController();
        const [ended, going] = [await follow(bucket, "", stop.signal), await follow(bucket)];
        await bucket.put("key", "1");
        await eventually("the first change", () => ended.length === 1 && going.length === 1);
        stop.abort();
        await bucket.put("key", "2");
        await bucket.put("key", "3");
        await eventually("the last change", () => going.at(-1)?.type === "put" && going.length >= 2);
        await bucket.delete("key");
        await eventually("the deletion", () => going.at(-1)?.type === "delete");
        assertEquals(ended.length, 1);
      });

      it("watch: nothing is reported after a callback that aborts the signal, though more was on its way", async () => {
        const bucket = await openNew();
        const going = await follow(bucket);
        const stop = new AbortController();
        const ended: Change[] = [];
        const onChange = (change: Change) => {
          ended.push(change);
          stop.abort();
        };
        await bucket.watch("", onChange, { signal: stop.signal });
        await Promise.all(["a", "b", "c"].map((key) => bucket.put(key, "")));
        await eventually("all changes", () => going.length === 3 && ended.length > 0);
        await bucket.put("d", "");
        await eventually("the last change", () => going.length === 4);
        assertEquals(ended.length, 1);
      });
    });

    describe("ttl", () => {
      it("ttl: less than 1,000 ms, or no number, is a RangeError, in every write", async () => {
        const bucket = await openNew();
        const revision = await bucket.put("key", "value");
        for (const ttl of [999, 999.9, 0, -1, -Infinity, NaN, Infinity]) {
          await assertRejects(() => bucket.create("new", "", { ttl }), RangeError);
          await assertRejects(() => bucket.update("key", "", revision, { ttl }), RangeError);
          await assertRejects(() => bucket.put("key", "", { ttl }), RangeError);
        }
        assertEquals(await bucket.entries(""), [{ key: "key", value: "value", revision }]);
      });

      // the following tests share one run (`run`), because it takes much time
      const slow = { timeout: 300_000 };
      let course: Promise<Course> | undefined;
      const run = () => course ??= runTtls(newName());

      it("ttl: no entry expires early, and fractions of a second are rounded up", slow, async () => {
        assertEquals((await run()).early, []);
      });

      it("ttl: an entry expires, whether created, updated or put with a ttl", slow, async () => {
        const { later } = await run();
        assertEquals(later.filter((key) => key.startsWith("short/")), []);
      });

      it("ttl: create works at once after an expiry, with a greater revision", slow, async () => {
        const { revisions, again } = await run();
        assert(again !== undefined);
        assertGreater(again, revisions.get("short/created")!);
      });

      it("ttl: an update with a ttl begins it anew", slow, async () => {
        const { early, end } = await run();
        assert(!early.includes("renewed"));
        assert(!end.includes("renewed"));
      });

      it("ttl: an update or a put without a ttl makes an entry permanent", slow, async () => {
        const { end } = await run();
        assert(end.includes("permanent/updated"));
        assert(end.includes("permanent/put"));
      });

      it("ttl: that of a deleted entry does not touch the one made after it", slow, async () => {
        assert((await run()).end.includes("permanent/made anew"));
      });

      it("ttl: a watch reports an expiry as such, with a revision that has grown", slow, async () => {
        const { revisions, told } = await run();
        const short = [...revisions.keys()].filter((key) => key.startsWith("short/")).sort();
        const expired = told.filter((change) => change.type === "expire");
        assertEquals(expired.map((change) => change.key).sort(), [...short, "renewed"].sort());
        for (const { key, revision } of expired) assertGreater(revision, revisions.get(key)!);
      });

      it("ttl: a watch reports growing revisions of a key that expires and is created again", slow, async () => {
        const { told, again } = await run();
        const one = told.filter((change) => change.key === "short/created");
        assertEquals(one.map((change) => change.type), ["put", "expire", "put"]);
        assertGreater(one[1].revision, one[0].revision);
        assertGreater(one[2].revision, one[1].revision);
        assertEquals(one[2].revision, again);
      });

      interface Course {
        /** By key that is to expire: the last revision before it expires. */
        readonly revisions: Map<string, number>;
        /** Keys whose expiry was reported too early. */
        readonly early: string[];
        /**
         * The keys that existed when the expiry of the keys `short/…` was reported (`later`), and at the end of the
         * test (`end`).
         */
        readonly later: string[];
        readonly end: string[];
        /** The return value of `create` for a key that had expired. */
        readonly again: number | undefined;
        readonly told: Change[];
      }

      async function runTtls(name: string): Promise<Course> {
        const bucket = await first.open(name);
        const watching = new AbortController();
        const told: Change[] = [];
        /** By key: the time at which it may expire. `early`: keys that were reported as expired before. */
        const due = new Map<string, number>();
        const early: string[] = [];
        await bucket.watch("", (change) => {
          told.push(change);
          // the comparison has a tolerance of 1 ms, because the server counts whole ms
          if (change.type === "expire" && harness.now() < due.get(change.key)! - 1) early.push(change.key);
        }, { signal: watching.signal });
        const keys = async () => (await bucket.entries("")).map((entry) => entry.key);
        const revisions = new Map<string, number>();
        const write = async (key: string, ttl: number, call: () => Promise<number | undefined>) => {
          due.set(key, harness.now() + ttl);
          revisions.set(key, (await call())!);
        };
        const expiry = async (...names: string[]) => {
          const gone = () => told.filter(({ type }) => type === "expire").map(({ key }) => key);
          for (let waits = 0; !names.every((key) => gone().includes(key)); waits++) {
            if (waits > 1_500) throw new Error(`not expired: ${names} but for ${gone()}`);
            await harness.pass(20);
          }
        };
        const ttl = 1_000;

        const plain = await bucket.put("short/updated", "");
        await write("short/created", ttl, () => bucket.create("short/created", "", { ttl }));
        await write("short/updated", ttl, () => bucket.update("short/updated", "", plain, { ttl }));
        await write("short/put", ttl, () => bucket.put("short/put", "", { ttl }));
        await write("short/fraction", 1_001, () => bucket.create("short/fraction", "", { ttl: 1_001 }));
        const others = ["renewed", "permanent/updated", "permanent/put", "permanent/made anew"];
        for (const key of others) await write(key, 2_000, () => bucket.create(key, "", { ttl: 2_000 }));
        const revision = (key: string) => revisions.get(key)!;
        await write("renewed", 3_000, () => bucket.update("renewed", "", revision("renewed"), { ttl: 3_000 }));
        await bucket.update("permanent/updated", "", revision("permanent/updated"));
        await bucket.put("permanent/put", "");
        await bucket.delete("permanent/made anew");
        await bucket.create("permanent/made anew", "");

        await expiry(...[...revisions.keys()].filter((key) => key.startsWith("short/")));
        const later = await keys();
        const again = await bucket.create("short/created", "again");

        await expiry("renewed"); // 1 s after keys that lost their ttl would have expired
        const end = await keys();
        watching.abort();
        return { revisions, early, later, end, again, told };
      }
    });
  });
}

/** Makes keys of empty parts, separators, wildcards, escapes, emoji and long runs; the same keys each time. */
function madeUpKeys(count: number): Set<string> {
  const parts = [
    "",
    " ",
    ".",
    "..",
    "*",
    ">",
    "/",
    "=",
    "=2E",
    "==",
    "$",
    "-",
    "_",
    "a",
    "A",
    "é",
    "你好",
    "😀",
    "__proto__",
    "\0",
    "\n",
  ];
  const random = seededRandom(7);
  const keys = new Set<string>();
  while (keys.size < count) {
    let key = "";
    for (let n = Math.floor(random() * 7); n >= 0; n--) key += parts[Math.floor(random() * parts.length)];
    keys.add(random() < 0.02 ? key.repeat(1_000).slice(0, 1_000).toWellFormed() : key);
  }
  return keys;
}

/** Returns strings that an encoding of keys might mix up, lose or refuse. */
function everySortOfKey(): string[] {
  const parts = ["", "a", "A", ".", "..", "/", " ", "*", ">", "$", "=", "%", "_", "-", "\\", ":", "~", "+"];
  const pairs = parts.flatMap((left) => parts.map((right) => left + right));
  const joined = [
    "a.b",
    "a/b",
    "a b",
    "a..b",
    "a.",
    ".a",
    "a.*",
    "*.a",
    "a.>",
    ">.a",
    ".*.",
    "a//b",
    "/a/",
    " a ",
    "a\tb",
  ];
  const escapes = [
    ...["=2E", "=2e", "=", "==", "=3D", "=3D2E", "=2E=2E", "%2E", "%252E", "%", "%%", "_2E", "\\x2e", "\\u002e", "\\."],
    ...[
      "=20",
      "=2F",
      "=00",
      "=E4",
      "=C3=A4",
      "=ä",
      "a=2Eb",
      "a=",
      "=a",
      "_",
      "__",
      "-",
      "--",
      "YQ",
      "YQ==",
      "YS5i",
      "Lg",
    ],
    ...["=_", "=-", "=.", "=*", "=>", "=a.", "=61", "=41", "%61", "x", "0", "00", "2E", "undefined", "null", "NaN"],
  ];
  const names = [
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "hasOwnProperty",
    "$KV",
    "$JS.API",
    "$SYS.>",
    "_INBOX.a",
  ];
  const characters = [
    ...[
      "ä",
      "a\u0308",
      "Å",
      "\u212b",
      "ß",
      "ſ",
      "İ",
      "ı",
      "你好",
      "你们",
      "日本語のキー",
      "한국어",
      "עברית",
      "\u200f",
      "\u200b",
      "\ufeff",
    ],
    ...[
      "👋",
      "👋🏽",
      "👩‍👩‍👧",
      "🇪🇺",
      "\u{10ffff}",
      "\uffff",
      "\ufffd",
      "\0",
      "\0\0",
      "\r\n",
      "\n",
      "\t",
      "\x7f",
      "\x80",
      "\u00a0",
      "\u2028",
    ],
    ...['"', "'", "`", "{}", "[]", "<a>", "a,b", "a;b", "a&b", "a?b", "a#b", "a@b", "a|b", "a^b", "(a)", "!"],
  ];
  const long = ["k", "K", ".", " ", "=", "=2E", "a.", "你", "👋"].flatMap((unit) =>
    [255, 256, 1_000, MAX_KEY_LENGTH].map((length) => unit.repeat(length).slice(0, length - length % unit.length))
  );
  // pairs of keys that differ only in the last character, or in their length
  const twins = ["a", "你"].flatMap((
    unit,
  ) => [`${unit.repeat(4_095)}x`, `${unit.repeat(4_095)}y`, unit.repeat(4_094), unit.repeat(4_095)]);
  return [...new Set([...parts, ...pairs, ...joined, ...escapes, ...names, ...characters, ...long, ...twins])];
}
