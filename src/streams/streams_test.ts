import { describe } from "node:test";
import { catga } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { streamsSuite } from "./streams_suite.ts";

describe("streams in one process", () => {
  streamsSuite({
    one: true,
    open: async (options) => {
      const app = await catga(options);
      return { reader: app, worker: app, close: () => app.drain() };
    },
  });
});

describe("streams to a node of a cluster from itself", () => {
  streamsSuite({
    one: true,
    open: async (options) => {
      const app = await catga({ network: new MemoryNetwork(), ...options });
      return { reader: app, worker: app, close: () => app.drain() };
    },
  });
});

describe("streams from one node to another in memory", () => {
  streamsSuite({
    one: false,
    open: async ({ handlers, ...options }) => {
      const network = new MemoryNetwork();
      const worker = await catga({ network, ...options, id: "worker", handlers });
      const reader = await catga({ network, ...options, id: "reader" });
      return { reader, worker, close: () => Promise.all([reader.drain(), worker.drain()]).then(() => {}) };
    },
  });
});
