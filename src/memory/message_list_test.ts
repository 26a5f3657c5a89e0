import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { MessageList } from "./message_list.ts";
import { seededRandom } from "./seeded_random.ts";

const message = (subject: string) => ({ subject, time: 0, data: new Uint8Array(), headers: undefined });

describe("MessageList", () => {
  it("behaves as an array from which messages are removed, over 20,000 random steps", () => {
    const random = seededRandom(7);
    const draw = (limit: number) => Math.floor(random() * limit);
    const list = new MessageList(1_000);
    let model: { sequence: number; subject: string }[] = [];
    let next = 1_000;
    for (let step = 0; step < 20_000; step++) {
      const dice = random();
      const subject = `a.${draw(4)}`;
      if (dice < 0.5) {
        assertEquals(list.push(message(subject)), next);
        model.push({ sequence: next++, subject });
      } else if (dice < 0.9) {
        // the test removes mostly the first message, as expiry does
        const found = model[random() < 0.7 ? 0 : draw(model.length)];
        if (found) list.remove(found.sequence);
        model = model.filter((each) => each !== found);
      } else if (dice < 0.901) {
        const last = Math.max(1_000, next - draw(50));
        for (const { sequence } of model.filter((each) => each.sequence > last)) list.remove(sequence);
        list.truncate(last);
        model = model.filter(({ sequence }) => sequence <= last);
        next = Math.min(next, last + 1);
      }
      if (step % 50 > 0) continue;
      const from = (model[0]?.sequence ?? next) + draw(model.length);
      const of = (which: (subject: string) => boolean) =>
        model.filter((each) => which(each.subject) && each.sequence >= from).map(({ sequence }) => sequence);
      assertEquals(list.sequences(subject, Infinity, from), of((each) => each === subject));
      assertEquals(list.sequences("a.*", Infinity, from, 5), of(() => true).slice(0, 5));
      assertEquals(list.last(subject)?.sequence, model.findLast((each) => each.subject === subject)?.sequence);
      assertEquals([list.first, list.next, list.messages], [model[0]?.sequence ?? next, next, model.length]);
    }
  });

  it("bytes: grow with each message, and are 0 when all are removed", () => {
    const list = new MessageList(1);
    list.push({ subject: "a", time: 0, data: new Uint8Array(100), headers: { name: "value" } });
    const one = list.bytes;
    assertEquals(one > 100, true);
    list.push({ subject: "a", time: 0, data: new Uint8Array(100), headers: { name: "value" } });
    assertEquals(list.bytes, 2 * one);
    list.remove(1);
    list.remove(2);
    list.remove(2);
    assertEquals(list.bytes, 0);
  });

  it("truncate: behind messages that were removed, the next one gets the sequence behind it", () => {
    const list = new MessageList(10);
    for (let i = 0; i < 10; i++) list.push(message("a"));
    for (let i = 10; i < 20; i++) list.remove(i);
    assertEquals([list.first, list.next], [20, 20]);
    list.truncate(14);
    assertEquals([list.first, list.next, list.push(message("a"))], [15, 15, 15]);
    list.truncate(20);
    assertEquals(list.next, 16);
  });
});
