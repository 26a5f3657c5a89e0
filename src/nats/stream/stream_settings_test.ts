import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { neededOff, OPERATORS, wrongSetting } from "./stream_settings.ts";

const WANTED = { subjects: ["log.>"], num_replicas: 3, allow_direct: true, deny_delete: false, max_age: 0 };
const FOUND = { subjects: ["log.>"], num_replicas: 3, allow_direct: true };
const operators = new Set(OPERATORS);
const wrong = (config: Readonly<Record<string, unknown>>) => wrongSetting(config, WANTED, operators);

describe("wrongSetting", () => {
  it("a setting that is wanted false or zero may be absent: the API omits it", () => {
    assertEquals(wrong(FOUND), undefined);
    assertEquals(wrong({ ...FOUND, deny_delete: false, max_age: 0 }), undefined);
  });

  it("any other setting that is wanted may not be absent, or have another value", () => {
    assertEquals(wrong({ num_replicas: 3, allow_direct: true }), {
      setting: "subjects",
      is: undefined,
      wanted: ["log.>"],
    });
    assertEquals(wrong({ ...FOUND, allow_direct: undefined }), { setting: "allow_direct", is: false, wanted: true });
    assertEquals(wrong({ ...FOUND, max_age: 1 }), { setting: "max_age", is: 1, wanted: 0 });
    assertEquals(wrong({ ...FOUND, subjects: ["log.>", "other"] })?.setting, "subjects");
  });

  it("a setting that nobody knows must be off: null, false, zero, empty, without a limit, or an object of such values", () => {
    for (const off of [undefined, null, false, 0, -1, "", "default", {}, [], { limit: -1, of: { name: "" } }]) {
      assertEquals(wrong({ ...FOUND, novelty: off }), undefined);
    }
    for (const on of [true, 1, "on", ["a"], { limit: -1, of: { name: "a" } }]) {
      assertEquals(wrong({ ...FOUND, novelty: on }), { setting: "novelty", is: on, wanted: null });
    }
  });

  it("a setting of the operator may have any value, unless a value is wanted", () => {
    assertEquals(wrong({ ...FOUND, max_bytes: 7, placement: { cluster: "a" }, first_seq: 9 }), undefined);
    assertEquals(wrongSetting({ max_bytes: 7 }, { max_bytes: 8 }, operators), {
      setting: "max_bytes",
      is: 7,
      wanted: 8,
    });
  });
});

describe("neededOff", () => {
  it("says why, in the words for this stream first, and nothing more of a setting that explains itself", () => {
    assertEquals(neededOff("sealed", {}), "Catga needs it to be off, because nothing can be written to it");
    assertEquals(neededOff("sealed", { sealed: "it is" }), "Catga needs it to be off, because it is");
    assertEquals(neededOff("novelty", {}), "Catga needs it to be off");
  });
});
