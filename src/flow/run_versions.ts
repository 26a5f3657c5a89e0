/**
 * The versions of workflows, told from each other by their shapes: the one of this node, and who takes a run that it
 * has refused.
 */
import { isShapedWorkflow } from "../contract/shape.ts";
import { afterRefusedMessage, type ShapedNode, shapeName, untriedNodes } from "../contract/shape_rules.ts";
import type { WorkflowDefinition } from "../contract/workflow_body.ts";
import type { RefusedRunFate } from "./drive_host.ts";
import { type Journal, UNKNOWN_SHAPE } from "./journal.ts";
import type { RunsNode } from "./runs_node.ts";

/** The versions of workflows. */
export class RunVersions {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /** The shape of a start by this process, as it is stored. */
  ofStart(definition: WorkflowDefinition): { readonly shape?: string } {
    if (!isShapedWorkflow(definition)) return {};
    return { shape: this.#node.app.shapes.ofWorkflow(definition) ?? UNKNOWN_SHAPE };
  }

  /** Like {@link DriveHost.shapeOf}. */
  shapeOf(workflow: string): string {
    const body = this.#node.bodies.get(workflow);
    return body === undefined ? "" : this.ofStart(body.definition).shape ?? "";
  }

  /** Like {@link DriveHost.shapeNameOf}. */
  shapeNameOf(workflow: string): string {
    return shapeName({ id: this.#node.app.node, shape: known(this.shapeOf(workflow)) });
  }

  /** Like {@link DriveHost.afterRefusal}. */
  afterRefusal(workflow: string, journal: Journal, refusedBy: Set<string>): RefusedRunFate {
    refusedBy.add(this.shapeNameOf(workflow));
    const nodes = this.#takers(workflow);
    const after = afterRefusedMessage(nodes, refusedBy, writerOf(journal, refusedBy));
    if (after !== "next") return after === "waits" ? after : "stuck";
    const untried = untriedNodes(nodes, refusedBy);
    return { next: untried[Math.floor(this.#node.app.random() * untried.length)].endpoint };
  }

  /** The live nodes that drive runs of a workflow, with its shape there. Where no version has one, they are equal. */
  #takers(workflow: string): readonly (ShapedNode & { readonly endpoint: string })[] {
    const { app } = this.#node;
    const { join: { name } } = this.#node.contractsOf(workflow);
    const own = this.shapeOf(workflow);
    return app.nodes().filter(({ handles }) => handles.includes(name)).map((node) => {
      const { id, endpoint } = node;
      const shape = id === app.node ? known(own) : app.shapeAt(node, name) ?? (own === "" ? own : undefined);
      return { id, endpoint, shape };
    });
  }
}

/** The shape that is stored; `undefined`: unknown. */
function known(shape: string): string | undefined {
  return shape === UNKNOWN_SHAPE ? undefined : shape;
}

/** The shape that started the run, or the one that drove it last: one that has not refused it, if there is one. */
function writerOf({ started, shape: driver }: Journal, refusedBy: ReadonlySet<string>): string | undefined {
  const writers = [known(started?.shape ?? ""), known(driver)];
  return writers.find((shape) => shape !== undefined && !refusedBy.has(shape)) ?? writers[0];
}
