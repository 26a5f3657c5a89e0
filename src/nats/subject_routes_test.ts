import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { SubjectRoutes } from "./reading/shared_consumer.ts";

describe("SubjectRoutes", () => {
  const filters = ["a.b", "a.*", "a.>", "a.*.c", ">"];
  const routes = new SubjectRoutes(filters.map((filter) => ({ receiver: filter, filters: [filter] })));
  const cases: readonly (readonly [subject: string, to: readonly string[]])[] = [
    ["a.b", ["a.b", "a.*", "a.>", ">"]],
    ["a.b.c", ["a.>", "a.*.c", ">"]],
    ["a", [">"]],
    ["ab.c", [">"]],
  ];
  for (const [subject, to] of cases) {
    it(`${subject} goes to ${to.join(", ")}`, () => {
      const got: string[] = [];
      routes.each(subject, (receiver) => got.push(receiver));
      assertEquals(got, to);
    });
  }

  it("all receivers of one filter get a message", () => {
    const got: number[] = [];
    const same = new SubjectRoutes([1, 2].map((receiver) => ({ receiver, filters: ["x", "y.*"] })));
    same.each("x", (receiver) => got.push(receiver));
    same.each("y.z", (receiver) => got.push(receiver));
    assertEquals(got, [1, 2, 1, 2]);
  });
});
