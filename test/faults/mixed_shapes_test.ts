/** Fault: a deploy. Processes with two versions of a program beside each other on a real server, under sends. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { deploy } from "../support/seat_deploy.ts";

describe("a deploy that renames a field and adds a member to an enum", await requireNatsServer(), () => {
  it(
    "no send fails, no message dies and no run is stuck while a node takes it; else it waits, is named, and goes on",
    { timeout: 1_200_000 },
    async () => assertEquals(await deploy("bun"), []),
  );
});
