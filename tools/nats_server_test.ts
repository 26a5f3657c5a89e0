import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { requireNatsServer, startNatsServer, stopped } from "./nats_server.ts";

const linux = { skip: process.platform !== "linux" && "there is no /proc" };

describe("a nats-server for tests", await requireNatsServer(), () => {
  it("has stopped in all its threads when a SIGSTOP resolves, and runs again after a SIGCONT", linux, async () => {
    await using server = await startNatsServer();
    for (let i = 0; i < 5; i++) {
      await server.kill("SIGSTOP");
      assertEquals(await stopped(server.pid), true);
      await server.kill("SIGCONT");
      while (await stopped(server.pid));
    }
  });
});

describe("stopped", () => {
  it("is false for a process that runs: this one", linux, async () => {
    assertEquals(await stopped(process.pid), false);
  });
});
