import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { disposing } from "./cluster/connection.ts";

describe("disposing", () => {
  it("disposes of a resource after the work, and resolves or rejects as the work does", async () => {
    const order: string[] = [];
    const open = () =>
      Promise.resolve({
        [Symbol.asyncDispose]: () => {
          order.push("disposed");
          return Promise.resolve();
        },
      });
    const done = disposing(open(), () => {
      order.push("worked");
      return Promise.resolve(7);
    });
    assertEquals([await done, ...order], [7, "worked", "disposed"]);
    await assertRejects(() => disposing(open(), () => Promise.reject(new Error("bug"))), Error, "bug");
    assertEquals(order, ["worked", "disposed", "disposed"]);
  });
});
