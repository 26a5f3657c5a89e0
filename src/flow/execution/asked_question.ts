/**
 * A question that the run's handler has taken. Its answer is a decision: an entry that is stored with the next entries
 * of the run, and made anew by the replay if its process dies before. The first answer that is stored counts.
 */
import type { Asked, QuestionDefinition } from "../../contract/calls/flow.ts";
import { fail, type FailOptions } from "../../contract/calls/result.ts";
import { validate } from "../../contract/schemas/schema.ts";
import { isThenable, show } from "../../data/checks.ts";
import { isErrorCode } from "../../error.ts";
import { answerKey, type OpenSignal, type RecordedOutcome } from "../stored/journal_entry.ts";
import { decided } from "../stored/recorded_error.ts";
import { copyOf } from "../stored/recorded_value.ts";
import { type DriveState, markMisuse } from "./drive_state.ts";

/** A question that the handler has taken, and answers. */
export class AskedQuestion implements Asked<unknown> {
  readonly id: string;
  readonly input: unknown;
  readonly #state: DriveState;
  readonly #definition: QuestionDefinition;
  readonly #question: string;
  #isAnswered = false;

  constructor(
    state: DriveState,
    definition: QuestionDefinition,
    { name, id = "" }: Pick<OpenSignal, "name" | "id">,
    input: unknown,
  ) {
    this.#state = state;
    this.#definition = definition;
    this.#question = name;
    this.id = id;
    this.input = input;
  }

  // bound, as handlers take what they need out of the question: `const { input, answer } = await flow.wait(Change)`
  readonly answer = (value: unknown): void => {
    const what = `the answer to ${this.#question}`;
    this.#record(() => {
      const { output } = this.#definition;
      const { mostBytes } = this.#state.host.log;
      if (output === undefined) return { ok: true, value: copyOf(value, what, mostBytes) };
      const parsed = validate(output, value, "INVALID_RESPONSE", `question ${this.#question}`);
      if (isThenable(parsed)) throw misuse(`${what}: the schema of an answer must not be asynchronous`);
      if (!parsed.ok) throw new Error(parsed.error.message, { cause: parsed.error.cause });
      return { ok: true, value: copyOf(parsed.value, what, mostBytes) };
    });
  };

  readonly fail = (code: string, message: string, options?: FailOptions): void => {
    this.#record(() => {
      const { failures } = this.#definition;
      if (failures !== undefined && !failures.includes(code) && !isErrorCode(code)) {
        throw misuse(`question ${this.#question}: ${show(code)} is none of its failures: ${failures.join(", ")}`);
      }
      const { error } = fail(code, message, options);
      return { ok: false, error: decided(error, this.#question, this.#state.host.log.mostBytes) };
    });
  };

  #record(make: () => RecordedOutcome): void {
    const state = this.#state;
    const { journal, recorder } = state;
    try {
      state.checkOutside(`the answer to ${this.#question}`);
    } catch (error) {
      markMisuse(error);
      throw error;
    }
    if (this.#isAnswered) throw misuse(`question ${this.#question} ${this.id} has its answer already: answer it once`);
    // a replay, or a handler that is over
    if (journal.answers.has(answerKey(this.#question, this.id)) || state.over || state.phase !== "handler") {
      return void (this.#isAnswered = true);
    }
    const outcome = make();
    this.#isAnswered = true;
    if (state.isHalting) return;
    const until = state.now + this.#definition.keep;
    recorder.record({ t: "answered", question: this.#question, id: this.id, outcome, until });
  }
}

function misuse(message: string): TypeError {
  const error = new TypeError(message);
  markMisuse(error);
  return error;
}
