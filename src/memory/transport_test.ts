import { transportSuite } from "../ports/transport_suite.ts";
import { type MemoryConnection, MemoryNetwork } from "./network.ts";

transportSuite("memory", () => {
  const network = new MemoryNetwork();
  return Promise.resolve({
    connect: () => Promise.resolve(network.connect({ onError: () => {} })),
    // cast: the function `connect` above made the connection
    cut: (transport) => Promise.resolve((transport as MemoryConnection).cut()),
    restore: (transport) => Promise.resolve((transport as MemoryConnection).restore()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
