import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import {
  decodeKey,
  encodeKey,
  isHashed,
  packValue,
  prefixFilter,
  subjectBelow,
  unpackValue,
} from "./bucket/key_subject.ts";

const KEYS = [
  "",
  "/",
  "//",
  "a",
  "a/",
  "/a",
  "a/b",
  "a//b",
  "a/b/c",
  "a.b",
  "a b",
  "*",
  ">",
  "a.*",
  "=",
  "==",
  "=41",
  "A",
  "\u0000",
  "\n",
  "Ж",
  "👋/👋",
  "order:42",
  "locks/order:42",
  "$KV",
  "x".repeat(200),
  "x".repeat(201),
  `${"x".repeat(201)}/`,
  `/${"x".repeat(201)}`,
  "y".repeat(4_096),
  `${"y".repeat(2_000)}/${"z".repeat(2_000)}`,
  "👋".repeat(2_048),
];

describe("encodeKey", () => {
  it("encodeKey: no two keys are the same subject", () => {
    assertEquals(new Set(KEYS.map(encodeKey)).size, KEYS.length);
  });

  it("encodeKey: makes one or two tokens that NATS and its KV accept, of at most 200 characters", () => {
    for (const key of KEYS) {
      const tokens = encodeKey(key).split(".");
      assert(tokens.length <= 2);
      for (const token of tokens) assert(/^[-=\w]{1,200}$/.test(token), token);
    }
  });

  it("encodeKey: leaves characters that need no escape as they are", () => {
    assertEquals(encodeKey("locks/order:42"), "locks.order=3A42");
  });
});

describe("decodeKey", () => {
  it("decodeKey: gives back every key that is not hashed", () => {
    for (const key of KEYS.filter((key) => !isHashed(encodeKey(key)))) assertEquals(decodeKey(encodeKey(key)), key);
  });

  it("decodeKey: is undefined for a subject that encodeKey does not make", () => {
    for (const subject of ["a.b.c", "=41", "=4", "a=zz", "=3a", "", "a/b", "=FF"]) {
      assertEquals(decodeKey(subject), undefined, subject);
    }
  });
});

describe("subjectBelow", () => {
  it("subjectBelow: gives the part below the prefix, and nothing for a subject that does not begin with it", () => {
    const subjects = ["$KV.test.locks.a", "$KV.test.", "$KV.tess.a", "_INBOX.xya", "$KV.test"];
    assertEquals(subjects.map((subject) => subjectBelow("$KV.test.", subject)), [
      "locks.a",
      "",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("unpackValue", () => {
  it("unpackValue: gives back key and value, of hashed subjects too", () => {
    for (const key of KEYS) {
      for (const value of ["", "v", "\n", '"\n"']) {
        const subject = encodeKey(key);
        assertEquals(unpackValue(subject, packValue(subject, key, value)), { key, value });
      }
    }
  });

  it("unpackValue: is undefined for foreign data under a hash", () => {
    const subject = encodeKey("x".repeat(300));
    for (const stored of ["", "plain", "1\n", '"other"\nvalue']) assertEquals(unpackValue(subject, stored), undefined);
  });
});

describe("prefixFilter", () => {
  it("prefixFilter: matches every key that starts with the prefix", () => {
    for (const prefix of KEYS) {
      const filter = prefixFilter(prefix);
      for (const key of KEYS.filter((key) => key.startsWith(prefix))) {
        const subject = encodeKey(key);
        assert(filter === ">" || (subject.startsWith(filter.slice(0, -1)) && subject.split(".").length === 2));
      }
    }
  });

  it("prefixFilter: a prefix up to the first slash is filtered by the server", () => {
    assertEquals(prefixFilter("locks/"), "locks.*");
  });
});
