/**
 * The observers that an app's behaviors return from `attach`: each gets the app's observations until it is detached.
 */
import { type AnyBehavior, type Attachment, checkAttachment } from "../contract/declaration/behavior.ts";
import { isThenable } from "../data/checks.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import type { Observation, Observer } from "../contract/nodes/observer.ts";

/** The attached behaviors of one app. */
export class BehaviorHooks {
  /** True if a behavior observes the app: only then does the app make the observations that are not logged. */
  watched = false;
  readonly #log: Observer;
  readonly #attached: Attachment[] = [];

  /** `log`: gets every observation, and an observation `fault` for each behavior that throws. */
  constructor(log: Observer) {
    this.#log = log;
  }

  /** The app's observer: passes an observation to the log, then to the observer of each behavior. */
  readonly observe: Observer = (observation: Observation) => {
    this.#log(observation);
    for (const { observe } of this.#attached) {
      this.#call("telling a behavior what happened", () => observe?.(observation));
    }
  };

  /**
   * Calls `attach` of every behavior, one after the other. Rejects with an error that an `attach` throws, or if it
   * returned an invalid value.
   */
  async attach(behaviors: Iterable<AnyBehavior>, app: Catga): Promise<void> {
    for (const { attach } of behaviors) {
      const attachment: unknown = await attach?.(app);
      if (attachment === undefined) continue;
      checkAttachment(attachment);
      this.#attached.push(attachment);
      this.watched ||= attachment.observe !== undefined;
    }
  }

  /** Calls `detach` of every behavior, once: further calls do nothing. */
  detach(): void {
    this.watched = false;
    for (const { detach } of this.#attached.splice(0)) this.#call("detaching a behavior", () => detach?.());
  }

  /**
   * Calls a function of a behavior. Logs the error that it throws, or rejects with: the type also accepts `async`
   * functions.
   */
  #call(during: string, call: () => unknown): void {
    const failed = (error: unknown) => this.#log({ type: "fault", during, error });
    try {
      const called = call();
      if (isThenable(called)) Promise.resolve(called).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
