import { assert, assertEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { type AddressInfo, createServer, type Server } from "node:net";
import { describe, it } from "node:test";
import process from "node:process";
import { promisify } from "node:util";
import { FIRST_PORT, freePorts, PORTS, requireNatsServer, startNatsServer, stopped } from "./nats_server.ts";

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

describe("freePorts", () => {
  it("gives no port that fetch refuses: the last of them is 10080 (a test of proxies got it)", async () => {
    const ports = await freePorts(2);
    assert(FIRST_PORT > 10_080 && ports.every((port) => port >= FIRST_PORT), `${ports}`);
  });

  it("gives no port twice, not to another process either", async () => {
    const own = await freePorts(3);
    const [first] = own;
    // it goes on where this process did, and was given none of its ports
    const program = `
      Math.random = () => ${(first - FIRST_PORT) / PORTS} + 1e-9;
      const { freePorts } = await import(${JSON.stringify(import.meta.resolve("./nats_server.ts"))});
      console.log(JSON.stringify(await freePorts(3)));`;
    const args = "Bun" in globalThis ? ["-e", program] : ["eval", "--no-check", program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, NO_COLOR: "1" } });
    const others: number[] = JSON.parse(stdout);
    assertEquals(others.filter((port) => own.includes(port)), []);
    assert((others[0] - first + PORTS) % PORTS < 1_000, `${own}, then ${others}`);
    assertEquals(new Set([...own, ...await freePorts(3)]).size, 6);
  });

  it("gives no port on which somebody listens who has not asked for it", async () => {
    const [before] = await freePorts(1);
    const servers = await Promise.all([1, 2, 3].map((more) =>
      new Promise<Server>((resolve) => {
        const server = createServer();
        // somebody listens already, whose port may become free meanwhile
        server.once("error", () => resolve(server));
        server.listen(FIRST_PORT + (before - FIRST_PORT + more) % PORTS, "127.0.0.1", () => resolve(server));
      })
    ));
    const held = servers.flatMap((server) => server.listening ? [(server.address() as AddressInfo).port] : []);
    const ports = await freePorts(2);
    for (const server of servers) server.close();
    assertEquals(ports.filter((port) => held.includes(port)), []);
  });
});

describe("stopped", () => {
  it("is false for a process that runs: this one", linux, async () => {
    assertEquals(await stopped(process.pid), false);
  });
});
