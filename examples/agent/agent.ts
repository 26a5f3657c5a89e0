/**
 * An agent: a loop of calls to a model, and of the tools that it asks for. It is a run: whatever process dies, the next
 * one goes on behind the last step with an outcome. A call that costs has the id of its step, the same in each attempt,
 * so that who takes the money can tell a repeated call from a new one.
 */
import { fail, type Failure, type Flow, type Handlers, workflow } from "@catga/catga";
import type { Message, Model } from "./model.ts";
import { type Payment, type Shop, toolOf } from "./tools.ts";

/** A task. Money is in cents. */
export interface Task {
  readonly goal: string;
  /** The maximum for the model and the payments together. */
  readonly budget: number;
  /** The sum that earlier lives of the run have spent. */
  readonly spent?: number;
  /** The work of earlier lives, in short. */
  readonly history?: string;
}

/** The view of a run, as the page shows it. */
export interface Shown {
  readonly messages: readonly Message[];
  /** The words of the answer that the model is giving. */
  readonly words: string;
  /** The payment that waits for a person. */
  readonly asks?: Payment;
  readonly spent: number;
  readonly budget: number;
}

export const Agent = workflow<Task, string, "OVER_BUDGET" | "MODEL_REFUSED">("Agent").view<Shown>();

/** A person approves a payment, or does not. */
export const Decide = Agent.question<{ payment: string; approve: boolean }, void, "NOT_ASKED">("Decide");

/** A payment of more than this, in cents, needs a person. */
const ASK_ABOVE = 500;
/** With so many messages the run begins anew, with its history in short. */
const LONG = 10;

export function agent(model: Model, shop: Shop): Handlers {
  return Agent.handle(async (flow, { goal, budget, spent = 0, history }) => {
    const messages: Message[] = [{ role: "user", content: history === undefined ? goal : `${goal}\n\n${history}` }];
    const view = (more: Partial<Shown> = {}): Shown => ({ messages, words: "", spent, budget, ...more });

    while (messages.length < LONG) {
      if (spent >= budget) return fail("OVER_BUDGET", `${spent} of ${budget} cents are spent`);
      flow.show(view());
      const reply = await flow.step(`think ${messages.length}`, ({ id, signal, show }) => {
        return model(messages, { id, signal, onWords: (words) => show(view({ words })) });
      }, { timeout: 120_000 });
      if (isRefused(reply)) return reply;
      spent += reply.cents;
      messages.push(reply.message);
      flow.show(view());
      if (reply.message.tool_calls === undefined) return reply.message.content;

      for (const call of reply.message.tool_calls) {
        const name = `${call.function.name} ${messages.length}`;
        const answer = await use(name, toolOf(call));
        messages.push({ role: "tool", tool_call_id: call.id, content: answer });
      }
    }
    return flow.again({ goal, budget, spent, history: inShort(history, messages) });

    /** Uses a tool as a step; resolves with what the model is told. */
    async function use(step: string, tool: ReturnType<typeof toolOf>): Promise<string> {
      if (tool.name === "unknown") return tool.why;
      if (tool.name === "offers") return await flow.step(step, ({ signal }) => shop.offers(tool.tea, signal));
      const { payment } = tool;
      if (spent + payment.cents > budget) return `not paid: ${budget - spent} cents of the budget are left`;
      if (payment.cents > ASK_ABOVE) {
        flow.show(view({ asks: payment }));
        if (!await isApproved(flow, payment)) return `not paid: a person said no to ${payment.tea}`;
        flow.show(view());
      }
      const receipt = await flow.step(step, ({ id, signal }) => shop.pay(payment, { id, signal }));
      spent += payment.cents;
      return `paid ${payment.cents} cents for ${payment.tea}: ${receipt}`;
    }
  });
}

/** Waits for a person, for as long as it takes: meanwhile the run costs nothing. */
async function isApproved(flow: Pick<Flow, "wait">, { id }: Payment): Promise<boolean> {
  for (;;) {
    const asked = await flow.wait(Decide);
    const { payment, approve } = asked.input;
    if (payment !== id) asked.fail("NOT_ASKED", `payment ${payment} is not asked for`); // a second click, an old page
    else {
      asked.answer();
      return approve;
    }
  }
}

/** The history for the next life: payments that were made, and those that were not. */
function inShort(history: string | undefined, messages: readonly Message[]): string {
  const done = messages.flatMap(({ role, content }) =>
    role === "tool" && /^(not )?paid/.test(content) ? [content] : []
  );
  return (history === undefined ? done : [history, ...done]).join("\n");
}

const isRefused = (reply: object): reply is Failure<"MODEL_REFUSED"> => "error" in reply;
