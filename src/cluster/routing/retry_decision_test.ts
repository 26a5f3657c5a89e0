import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, query } from "../../contract/declaration/definition.ts";
import { CatgaError } from "../../error.ts";
import type { NotRunCode } from "../wire/call.ts";
import { decideRetry, type Failed } from "./retry_decision.ts";

const CONTRACTS = { query: query("Q"), command: command("C"), idempotent: command("I", { idempotent: true }) };
const KINDS = ["query", "command", "idempotent"] as const;
const gaveUp = new CatgaError("CANCELLED", "the caller gave up");
const stopped = new CatgaError("CLOSED", "the node is stopping");
const late = new CatgaError("TIMEOUT", "the handler that waits is out of time");

/**
 * A failure, the attempts left, and the expected decision for a query, a command and an idempotent command. `!`: the
 * error is retryable.
 */
type Row = [failed: Failed, attempts: number, query: string, command: string, idempotent: string];

const undelivered = (code: NotRunCode): Failed => ({ how: "undelivered", code });
const aborted = (reason: CatgaError, sent: boolean): Failed => ({ how: "aborted", sent, reason });

const TABLE: Row[] = [
  // failures after which the call certainly did not run: it is repeated whatever its kind, while attempts are left
  ...(["BOUNCED", "LOST", "OVERLOADED", "DRAINING", "NO_HANDLER", "LATE", "BREAKER_OPEN"] as const).map((code): Row => [
    undelivered(code),
    ...[1, "again", "again", "again"] as [number, string, string, string],
  ]),
  [undelivered("BOUNCED"), 0, "UNAVAILABLE!", "UNAVAILABLE!", "UNAVAILABLE!"],
  [undelivered("LOST"), 0, "UNAVAILABLE!", "UNAVAILABLE!", "UNAVAILABLE!"],
  [undelivered("BREAKER_OPEN"), 0, "UNAVAILABLE!", "UNAVAILABLE!", "UNAVAILABLE!"],
  [undelivered("LATE"), 0, "UNAVAILABLE!", "UNAVAILABLE!", "UNAVAILABLE!"],
  [undelivered("OVERLOADED"), 0, "OVERLOADED!", "OVERLOADED!", "OVERLOADED!"],
  [undelivered("DRAINING"), 0, "DRAINING!", "DRAINING!", "DRAINING!"],
  [undelivered("NO_HANDLER"), 0, "NO_HANDLER", "NO_HANDLER", "NO_HANDLER"],
  [undelivered("TOO_LARGE"), 3, "TOO_LARGE", "TOO_LARGE", "TOO_LARGE"],
  [undelivered("TOO_LARGE"), 0, "TOO_LARGE", "TOO_LARGE", "TOO_LARGE"],
  // the process that had the call is gone, or (`answered`) its answer was lost
  [{ how: "lost" }, 1, "again", "OUTCOME_UNKNOWN", "again"],
  [{ how: "lost" }, 0, "UNAVAILABLE!", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
  [{ how: "lost", answered: true }, 1, "again", "OUTCOME_UNKNOWN", "again"],
  [{ how: "lost", answered: true }, 0, "UNAVAILABLE!", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
  // the process does not answer pings: the request may have run, and may still be running
  [{ how: "silent" }, 1, "again", "wait", "again"],
  [{ how: "silent" }, 0, "wait", "wait", "wait"],
  // the call's deadline has passed; `sent`: an attempt may have run
  [{ how: "expired", sent: false }, 0, "UNAVAILABLE!", "UNAVAILABLE!", "UNAVAILABLE!"],
  [{ how: "expired", sent: true }, 0, "TIMEOUT", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
  // the caller has given up, or the app has stopped
  [aborted(gaveUp, false), 0, "CANCELLED", "CANCELLED", "CANCELLED"],
  [aborted(gaveUp, true), 0, "CANCELLED", "CANCELLED", "CANCELLED"],
  [aborted(stopped, false), 0, "CLOSED", "CLOSED", "CLOSED"],
  [aborted(stopped, true), 0, "CLOSED", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
  [aborted(late, true), 0, "TIMEOUT", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"],
];

describe("decideRetry", () => {
  for (const [failed, attempts, ...wanted] of TABLE) {
    const { how, code = "", sent = "", reason } = failed as { how: string } & Record<string, string | CatgaError>;
    const name = [how, code, sent === "" ? "" : `sent: ${sent}`, (reason as CatgaError | undefined)?.code ?? ""];
    it(`${name.filter(Boolean).join(", ")}, ${attempts} more attempts: ${wanted.join(", ")}`, () => {
      for (const [i, kind] of KINDS.entries()) {
        const next = decideRetry(CONTRACTS[kind], failed, attempts, "there");
        assertEquals(typeof next === "string" ? next : next.code + (next.retryable ? "!" : ""), wanted[i], kind);
        if (typeof next === "string" || how === "aborted" && next === reason) continue;
        assert(next.message.includes(CONTRACTS[kind].name), next.message);
        if (wanted[i] === "OUTCOME_UNKNOWN") assert(next.message.includes("there"), next.message);
      }
    });
  }

  it("a command of an entity is sent again after a death, as an idempotent one", () => {
    assertEquals(decideRetry(CONTRACTS.command, { how: "lost" }, 1, "there", { ofEntity: true }), "again");
    assertEquals(decideRetry(CONTRACTS.command, { how: "silent" }, 1, "there", { ofEntity: true }), "again");
    const last = decideRetry(CONTRACTS.command, { how: "lost" }, 0, "there", { ofEntity: true });
    assertEquals(typeof last === "string" ? last : last.code, "OUTCOME_UNKNOWN");
  });
});
