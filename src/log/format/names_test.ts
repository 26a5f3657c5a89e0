import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import {
  categoryOf,
  categoryPattern,
  categoryPatterns,
  categorySubject,
  commitSubject,
  entitySubject,
  leaseSubject,
  messagePattern,
  parkedId,
  parkedSubject,
  readCommitSubject,
  readEntitySubject,
  readLeaseSubject,
  readRequestSubject,
  readScheduleSubject,
  readSnapshotKey,
  readSubscriptionKey,
  requestSubject,
  scheduleSubject,
  snapshotKeys,
  streamOf,
  subscriptionKey,
} from "./names.ts";
import { streamName } from "./stream_name.ts";
import { decodeToken, encodeToken } from "../../data/subject_token.ts";

/** Texts of users that must not change the structure of a subject, or of a key, in which they are encoded. */
const TEXTS = ["", "a.b", "=", "=2E", "*", ">", "a b", "/", "\0", "ü", "\ufeffx", "😀", "__proto__", "Order-7_x"];

describe("encodeToken", () => {
  it("is one token of a subject, from which decodeToken makes the text again", () => {
    const made = TEXTS.map(encodeToken);
    for (const text of made) assertMatch(text, /^[\w=-]+$/);
    assertEquals(made.map(decodeToken), TEXTS);
    assertEquals(new Set(made).size, TEXTS.length);
  });

  it("leaves letters, digits, - and _ as they are, and writes other bytes of UTF-8 in hexadecimal", () => {
    assertEquals(["Az09-_", "a.b", "ü", "\n", ""].map(encodeToken), ["Az09-_", "a=2Eb", "=C3=BC", "=0A", "="]);
  });
});

describe("decodeToken", () => {
  it("is undefined for what encodeToken does not make, so that no two tokens have one text", () => {
    for (const text of ["", "a.b", "a b", "=41", "=2e", "=2", "a=", "==", "=FF", "=C3", "=ED=A0=80", "ü"]) {
      assertEquals(decodeToken(text), undefined, text);
    }
  });
});

describe("the subject of a schedule", () => {
  it("is read as it was written, whatever its id", () => {
    for (const id of TEXTS) {
      const subject = scheduleSubject("shop", "Send.Mail", id);
      assertEquals(subject.split(".").length, 5, subject);
      assertEquals(readScheduleSubject("shop", subject), { category: "Send.Mail", id });
    }
  });

  it("is no other subject: of another namespace, or with fewer or more tokens, whatever these are", () => {
    for (
      const rest of ["log.Mail.x", "at.Mail", "at.Mail.x.y", "at.Mail.x.", "at.Mail.x.=41", "at..x", "at.Mail.=41"]
    ) {
      assertEquals(readScheduleSubject("shop", `catga.shop.${rest}`), undefined, rest);
    }
    assertEquals(readScheduleSubject("shop", scheduleSubject("shop2", "Mail", "x")), undefined);
  });
});

describe("the subject of an entity", () => {
  it("is read as it was written, whatever its id", () => {
    for (const id of TEXTS) {
      assertEquals(readEntitySubject("shop", entitySubject("shop", "Order", id)), { type: "Order", id });
    }
  });

  it("is no other subject", () => {
    const long = "x".repeat(65);
    for (const rest of ["log.Order", "entity.Order", "entity.Order.7.8", "entity.Order.7.", `entity.${long}.7`]) {
      assertEquals(readEntitySubject("shop", `catga.shop.${rest}`), undefined, rest);
    }
    for (const rest of ["entity..7", "entity.=2E.7", "entity.Order.", "entity.Order.=41"]) {
      assertEquals(readEntitySubject("shop", `catga.shop.${rest}`), undefined, rest);
    }
  });
});

describe("the subject of a category", () => {
  it("is read as it was written; others, also those of schedules, have no category", () => {
    assertEquals(categorySubject("shop", "orders.Placed"), "catga.shop.log.orders=2EPlaced");
    assertEquals(categoryOf("shop", categorySubject("shop", "orders.Placed")), "orders.Placed");
    for (
      const subject of ["catga.shop.log.orders.Placed", "catga.shop.log.", "catga.shop.at.Mail", "catga.s.log.Mail"]
    ) {
      assertEquals(categoryOf("shop", subject), undefined, subject);
    }
  });

  it("is what a reader of the stream of events asks for; one of entities asks for each type of entity once", () => {
    const [log, entities] = [streamName("shop", "log"), streamName("shop", "entities")];
    assertEquals(categoryPatterns("shop", log, ["a.B", "a.C", "a.B"]), [
      "catga.shop.log.a=2EB",
      "catga.shop.log.a=2EC",
    ]);
    assertEquals(categoryPatterns("shop", entities, ["Order.Placed", "Order.Paid", "Cart.Left"]), [
      "catga.shop.entity.Order.*",
      "catga.shop.entity.Cart.*",
    ]);
    assertEquals(
      categoryPattern("shop", streamName("other", "entities"), "Order.Placed"),
      "catga.shop.log.Order=2EPlaced",
    );
    assertEquals([messagePattern("shop", log), messagePattern("shop", entities)], [
      "catga.shop.log.>",
      "catga.shop.entity.>",
    ]);
  });

  it("is in the stream of entities for a subscription whose name says so", () => {
    assertEquals(["billing", "billing:entities", "entities"].map((name) => streamOf("shop", name)), [
      "catga_shop_log",
      "catga_shop_entities",
      "catga_shop_log",
    ]);
  });
});

describe("the key of a subscription's record", () => {
  it("is read as it was written", () => {
    assertEquals(subscriptionKey("@", "billing:entities"), "=40.billing=3Aentities");
    for (const name of TEXTS) assertEquals(readSubscriptionKey(subscriptionKey("@", name)), { service: "@", name });
  });

  it("is no other key: with fewer or more parts, whatever these are, or of a parked message", () => {
    for (
      const key of ["", "shop", "shop.a.b", "shop.a.", "shop.a.=41", "shop.a.b.c", ".a", "shop.a/1.2"]
    ) {
      assertEquals(readSubscriptionKey(key), undefined, key);
    }
  });
});

describe("subjects of what a subscription stores", () => {
  it("are read as they were written, and are told from each other", () => {
    for (const name of TEXTS) {
      const key = subscriptionKey("shop", name);
      const [commit, parked] = [commitSubject("n", key), parkedSubject("n", key, "7-8")];
      const [request, lease] = [requestSubject("n", key, "r-1"), leaseSubject("n", `${name}.x1`)];
      assertEquals([commit, parked, request, lease].map((each) => readCommitSubject("n", each)), [
        key,
        ...Array(3).fill(undefined),
      ]);
      assertEquals(parkedId(parked), "7-8");
      assertEquals(readRequestSubject("n", request), { key, id: "r-1" });
      assertEquals(readRequestSubject("n", parked), undefined);
      assertEquals([readLeaseSubject("n", lease), readLeaseSubject("n", commit)], [`${name}.x1`, undefined]);
    }
  });

  it("are none of another namespace, nor with fewer or more parts", () => {
    const subject = requestSubject("n", "shop.billing", "7-8");
    for (const other of [subject.slice(0, -4), `${subject}.9`, subject.replace("n.", "m."), ""]) {
      assertEquals(readRequestSubject("n", other), undefined, other);
    }
    assertEquals(readCommitSubject("n", commitSubject("n", "shop")), undefined);
  });
});

describe("readSnapshotKey", () => {
  it("is the entity of each of its snapshots, and none for another key", () => {
    for (const id of TEXTS) {
      for (const key of snapshotKeys("Cart", id)) assertEquals(readSnapshotKey(key), { type: "Cart", id });
    }
    for (const other of ["", "Cart", "Cart.a", "Cart.a/", "Cart.a.b/0", "Cart.=2/0"]) {
      assertEquals(readSnapshotKey(other), undefined);
    }
  });
});
