/**
 * Versions of workflows, told apart by their shapes: the version of this node, and the nodes that may accept a run that
 * this version has refused.
 */
import { isShapedWorkflow, UNKNOWN_SHAPE } from "../../contract/schemas/shape.ts";
import { afterRefusedMessage, type ShapedNode, shapeName, untriedNodes } from "../../contract/schemas/shape_rules.ts";
import type { WorkflowDefinition } from "../../contract/declaration/workflow_body.ts";
import type { RefusedRunFate } from "../execution/drive_host.ts";
import type { Journal } from "../stored/journal.ts";
import type { RunsNode } from "../runs_node.ts";

/** The versions of workflows, as one node knows them. */
export class RunVersions {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /**
   * Returns the shape of the workflow in this process, in the form in which it is stored with the start of a run:
   * absent if the workflow's versions have no shape, {@link UNKNOWN_SHAPE} if it cannot be computed.
   */
  ofStart(definition: WorkflowDefinition): { readonly shape?: string } {
    if (!isShapedWorkflow(definition)) return {};
    return { shape: this.#node.app.shapes.ofWorkflow(definition) ?? UNKNOWN_SHAPE };
  }

  /** Returns the shape of a workflow in this process. */
  shapeOf(workflow: string): string {
    const body = this.#node.bodies.get(workflow);
    return body === undefined ? "" : this.ofStart(body.definition).shape ?? "";
  }

  /**
   * Returns a name for the shape of a workflow in this process: the implementation of {@link DriveHost.shapeNameOf}.
   */
  shapeNameOf(workflow: string): string {
    return shapeName({ id: this.#node.app.node, shape: known(this.shapeOf(workflow)) });
  }

  /** Decides who executes a run that this node's version of its workflow refused. */
  afterRefusal(workflow: string, journal: Journal, refusedBy: Set<string>): RefusedRunFate {
    refusedBy.add(this.shapeNameOf(workflow));
    const nodes = this.#takers(workflow);
    const after = afterRefusedMessage(nodes, refusedBy, writerOf(journal, refusedBy));
    if (after !== "next") return after === "waits" ? after : "stuck";
    const untried = untriedNodes(nodes, refusedBy);
    return { next: untried[Math.floor(this.#node.app.random() * untried.length)].endpoint };
  }

  /**
   * Returns the live nodes that execute runs of a workflow, each with its shape of the workflow; `undefined`: the shape
   * is unknown. If the workflow has no shape in this process (the text is empty), an unknown shape of another node is
   * taken as empty, too.
   */
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

/** Returns a stored shape; `undefined` for {@link UNKNOWN_SHAPE}. */
function known(shape: string): string | undefined {
  return shape === UNKNOWN_SHAPE ? undefined : shape;
}

/**
 * Returns the shape of the version that wrote the run: the shape of the process that started the run; but if that is
 * unknown or has refused the run, the shape of the node that executed the run last, unless this is unknown or has
 * refused the run, too. `undefined`: unknown.
 */
function writerOf({ started, shape: driver }: Journal, refusedBy: ReadonlySet<string>): string | undefined {
  const writers = [known(started?.shape ?? ""), known(driver)];
  return writers.find((shape) => shape !== undefined && !refusedBy.has(shape)) ?? writers[0];
}
