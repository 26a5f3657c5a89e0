/**
 * What the bench finds where it runs: the runtime, the machine, the nats-server, and which packages programs can have.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findNatsServer, natsServerVersion } from "../tools/nats_binary.ts";
import type { TransportName, Wanted } from "./arguments.ts";
import type { Launch } from "./program.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("..", import.meta.url));

/** The runtime and the machine, for people. */
export interface Setting {
  readonly runtime: string;
  readonly machine: string;
  readonly natsServer: string;
  /** Which clients of nats.js are measured. */
  readonly transports: string;
}

/** What there is. */
export interface Surroundings {
  readonly setting: Setting;
  /** The transports that Catga is measured over; the first is the default one. */
  readonly transports: readonly TransportName[];
  /** Those that nats.js is measured over by itself. */
  readonly rawTransports: readonly TransportName[];
  readonly launch: Launch;
  /** Why the peers do not take part, if they do not. */
  readonly withoutPeers: string | undefined;
}

/**
 * Looks around, and installs what Bun needs. Rejects with a `TypeError` when a transport is wanted that cannot be had.
 */
export async function lookAround(wanted: Wanted): Promise<Surroundings> {
  const binary = await findNatsServer();
  const natsServer = binary === undefined ? "none" : await natsServerVersion(binary) ?? "unknown";
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  return process.versions.bun === undefined ? inDeno(wanted, machine, natsServer) : inBun(wanted, machine, natsServer);
}

function inDeno({ transport, peers }: Wanted, machine: string, natsServer: string): Surroundings {
  const published = resolvesToJsr();
  const transports: TransportName[] = transport !== undefined ? [transport] : ["deno", "node"];
  const rawTransports: TransportName[] = published ? transports : ["node"];
  const catga = transports[0] === "deno" ? "its own transport" : "transport-node";
  const command = (config: string) => [process.execPath, "run", "-A", "--quiet", "--no-check", "--config", config];
  return {
    setting: {
      runtime: `Deno ${process.versions.deno}`,
      machine,
      natsServer,
      transports: `Catga over ${catga} and nats.js over transport-${rawTransports[0]} ` +
        `where a row names no other (${published ? "JSR's packages, as published" : "packages of the tree"})`,
    },
    transports,
    rawTransports,
    // the lock file is of the packages of this tree
    launch: {
      own: published ? [...command(`${root}jsr.json`), "--no-lock"] : command(`${root}deno.json`),
      peers: command(`${here}deno.json`),
    },
    withoutPeers: peers ? undefined : "they were not wanted",
  };
}

function inBun({ transport, peers }: Wanted, machine: string, natsServer: string): Surroundings {
  if (transport === "deno") throw new TypeError("the transport of Deno needs Deno");
  const failed = install(root);
  if (failed !== undefined) throw new Error(failed);
  const command = [process.execPath, "run"];
  return {
    setting: { runtime: `Bun ${process.versions.bun}`, machine, natsServer, transports: "transport-node" },
    transports: ["node"],
    rawTransports: ["node"],
    launch: { own: command, peers: command },
    withoutPeers: peers ? install(here) : "they were not wanted",
  };
}

/** Returns true if the bench was started with `jsr.json` for its import map. */
export function resolvesToJsr(): boolean {
  try {
    return import.meta.resolve("@nats-io/transport-deno").startsWith("jsr:");
  } catch {
    return false; // without an import map there is no such name
  }
}

/** Bun needs its packages in a folder; says why they cannot be had there. */
function install(folder: string): string | undefined {
  if (existsSync(`${folder}node_modules`)) return undefined;
  const { status, stderr } = spawnSync(process.execPath, ["install", "--frozen-lockfile"], {
    cwd: folder,
    encoding: "utf8",
    timeout: 120_000,
  });
  return status === 0 ? undefined : `bun install failed: ${stderr.trim().split("\n").at(-1)}`;
}
