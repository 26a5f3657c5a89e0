/**
 * Recognizes the contracts, handlers, apps, contexts and sends in a file by its syntax: imports from `@catga/catga`,
 * constants, and type annotations. An expression whose meaning the syntax does not prove is not recognized, so that
 * no rule reports it.
 */
import { type Binding, type FunctionNode, isFunction, Scopes } from "./scopes.ts";

/** A call that makes a handler: `Contract.handle(fn)`, `Entity.handle(Contract, fn)`, `Event.on(fn)`, `onBatch`. */
export interface HandlerDefinition {
  /** The expression that is the handler's contract. */
  readonly contract: Deno.lint.Node;
  /** The function that handles messages, if it is defined in this file; else `undefined`. */
  readonly fn: FunctionNode | undefined;
  /** True for the handler of a workflow, which gets no context. */
  readonly isWorkflow: boolean;
}

/** A call of a method of an app or of a handler's context. */
export interface SenderCall {
  /** The expression that is the app or the context. */
  readonly sender: Deno.lint.Node;
  /** `undefined` if only the call's first argument, a contract, shows that a method of an app or context is called. */
  readonly is: "app" | "context" | undefined;
  /** Name of the called method. */
  readonly method: SenderMethod;
}

/** Names of methods that apps and contexts have in common. */
export type SenderMethod = "send" | "sendAll" | "publish" | "broadcast" | "lock";

/**
 * Recognizes the uses of Catga in one file.
 * @decides what counts as a contract, a handler, an app
 */
export class CatgaFile {
  /** The declarations of names in the file. */
  readonly scopes: Scopes = new Scopes();

  /** Returns the name of the export of `@catga/catga` to which an expression refers; `undefined`: it refers to none. */
  exportOf(expression: Deno.lint.Node): string | undefined {
    const { type } = expression;
    if (type === "Identifier") {
      const binding = this.scopes.resolve(expression);
      return isCatgas(binding) && binding.name !== "*" ? binding.name : undefined;
    }
    const [object, property] = type === "MemberExpression"
      ? [expression.object, memberName(expression)]
      : type === "TSQualifiedName"
      ? [expression.left, expression.right.name]
      : [];
    if (object?.type !== "Identifier") return undefined;
    const binding = this.scopes.resolve(object);
    return isCatgas(binding) && binding.name === "*" ? property : undefined;
  }

  /** Returns the kind of the contract that an expression defines, if it is such a call; else `undefined`. */
  contractKind(expression: Deno.lint.Node | null): "command" | "query" | "event" | "stream" | undefined {
    const call = expression && bare(expression);
    if (call?.type !== "CallExpression") return undefined;
    const name = this.exportOf(call.callee);
    return name === "command" || name === "query" || name === "event" || name === "stream" ? name : undefined;
  }

  /**
   * Returns the call that defines the contract to which an expression refers; `undefined`: no contract of this file.
   */
  definition(expression: Deno.lint.Node): Deno.lint.CallExpression | undefined {
    const binding = this.#bindingOf(expression);
    if (binding?.kind !== "variable" || this.contractKind(binding.declarator.init) === undefined) return undefined;
    return bare(binding.declarator.init!) as Deno.lint.CallExpression;
  }

  /**
   * Returns `"own"` for a contract of this file, `"imported"` for an import with a name like a contract's
   * (`CreateOrder`), `undefined` for all other expressions.
   */
  contract(expression: Deno.lint.Node): "own" | "imported" | undefined {
    const node = bare(expression);
    if (node.type === "Identifier") {
      const binding = this.scopes.resolve(node);
      if (binding?.kind === "variable") {
        const { init } = binding.declarator;
        return this.contractKind(init) || this.#isEntityEvent(init) ? "own" : undefined;
      }
      return isForeign(binding) && isContractLike(node.name) ? "imported" : undefined;
    }
    if (node.type !== "MemberExpression" || node.object.type !== "Identifier") return undefined;
    const name = memberName(node) ?? "";
    return isContractLike(name) && isForeign(this.scopes.resolve(node.object)) ? "imported" : undefined;
  }

  /** Returns the handler that a call makes; `undefined`: it makes none. */
  handlerCall(call: Deno.lint.CallExpression): HandlerDefinition | undefined {
    const { object, method = "" } = methodCall(call) ?? {};
    if (object === undefined || !HANDLING.has(method)) return undefined;
    const [isWorkflow, isEntity] = [this.#isMadeBy("workflow", object), this.#isEntity(call, object)];
    const [contract, fn] = isEntity ? call.arguments : [object, ...call.arguments];
    if (fn === undefined || !(isWorkflow || isEntity || this.contract(object))) return undefined;
    if (isFunction(fn)) return { contract, fn, isWorkflow };
    return fn.type === "Identifier" ? { contract, fn: this.#functionOf(fn), isWorkflow } : undefined;
  }

  /** Returns the app or context, and the method, of a call; `undefined`: it calls no such method. */
  senderCall(call: Deno.lint.CallExpression): SenderCall | undefined {
    const { arguments: [first] } = call;
    const { object: sender, method = "" } = methodCall(call) ?? {};
    if (sender === undefined || !isSenderMethod(method)) return undefined;
    const is = this.senderKind(sender);
    const sent = { sender, is, method };
    if (is !== undefined) return sent;
    if (method === "lock" || first === undefined || this.#isOut(sender)) return undefined;
    const contract = this.contract(first);
    return contract === "own" || (contract === "imported" && isNamedSender(sender)) ? sent : undefined;
  }

  /**
   * Returns the name of the called method, if it is a method of an app, a context or the `flow` of a workflow whose
   * result must be awaited; else `undefined`.
   */
  awaitedMethod(call: Deno.lint.CallExpression): string | undefined {
    const sent = this.senderCall(call);
    if (sent !== undefined) return sent.method;
    const { object, method = "" } = methodCall(call) ?? {};
    if (object === undefined) return undefined;
    if (AWAITED.has(method) && this.senderKind(object) !== undefined) return method;
    const part = bare(object);
    const isOfPart = part.type === "MemberExpression" && AWAITED_OF_PARTS.has(`${memberName(part)}.${method}`);
    if (isOfPart && this.senderKind(part.object) !== undefined) return method;
    return AWAITED_OF_FLOW.has(method) && this.#isFlow(object) ? method : undefined;
  }

  /**
   * Returns true for the `out` of a database's transaction, which collects what is sent and returns no promise: it is
   * annotated so, made by `store.out()`, or a later parameter of a function that a method of a store takes.
   */
  #isOut(expression: Deno.lint.Node): boolean {
    const binding = this.#bindingOf(expression);
    if (binding?.kind !== "variable" && binding?.kind !== "parameter") return false;
    if (binding.id.type !== "Identifier") return false;
    const type = binding.id.typeAnnotation?.typeAnnotation;
    if (type?.type === "TSTypeReference") return type.typeName.type === "Identifier" && type.typeName.name === "Out";
    if (binding.kind === "variable") {
      const init = binding.declarator.init && bare(binding.declarator.init);
      return init?.type === "CallExpression" && methodCall(init)?.method === "out";
    }
    const { fn: { parent }, index } = binding;
    return index > 0 && parent.type === "CallExpression" && OF_STORES.has(methodCall(parent)?.method ?? "");
  }

  /** Returns the kind of sender that an expression is: an app, or a handler's context; `undefined`: neither. */
  senderKind(expression: Deno.lint.Node): "app" | "context" | undefined {
    const binding = this.#bindingOf(expression);
    if (binding?.kind !== "variable" && binding?.kind !== "parameter") return undefined;
    if (binding.id.type !== "Identifier") return undefined;
    // the kind follows from the type annotation: `x: Catga` or `x: Context`
    const type = this.#typeOf(binding.id);
    if (type === "Catga" || type === "Context") return type === "Catga" ? "app" : "context";
    if (binding.kind === "variable") {
      const { id, init } = binding.declarator;
      return id === binding.id && init !== null && this.isCatgaCall(init) ? "app" : undefined;
    }
    const { fn, index } = binding;
    return index === 1 && fn.params[1] === binding.id && this.isHandlerFunction(fn) ? "context" : undefined;
  }

  /** Returns true if an expression is `catga(…)`, awaited or not. */
  isCatgaCall(expression: Deno.lint.Node): boolean {
    const call = bare(expression);
    if (call.type === "AwaitExpression") return this.isCatgaCall(call.argument);
    return call.type === "CallExpression" && this.exportOf(call.callee) === "catga";
  }

  /**
   * Returns true if a function is the argument of a call that makes a handler of messages; such a function gets a
   * context.
   */
  isHandlerFunction(fn: FunctionNode): boolean {
    const { parent } = fn;
    return parent.type === "CallExpression" && parent.arguments[0] === fn &&
      this.handlerCall(parent)?.isWorkflow === false;
  }

  /** Returns true if an identifier refers to the variable that a declarator declares. */
  refersTo(reference: Deno.lint.Identifier, declarator: Deno.lint.VariableDeclarator): boolean {
    const { id } = declarator;
    if (id.type !== "Identifier" || reference.name !== id.name) return false;
    const binding = this.scopes.resolve(reference);
    return binding?.kind === "variable" && binding.declarator === declarator;
  }

  /** Returns the name of the type of `@catga/catga` with which an identifier is annotated; `undefined`: none. */
  #typeOf(id: Deno.lint.Identifier): string | undefined {
    const type = id.typeAnnotation?.typeAnnotation;
    return type?.type === "TSTypeReference" ? this.exportOf(type.typeName) : undefined;
  }

  /**
   * Returns true if an expression is the `flow` of a workflow: it is annotated as `x: Flow`, or is the first
   * parameter of a workflow's handler (of a workflow of this file; or of an import with a name like a contract's, if
   * the parameter is named `flow`).
   */
  #isFlow(expression: Deno.lint.Node): boolean {
    const binding = this.#bindingOf(expression);
    if (binding?.kind !== "parameter" || binding.id.type !== "Identifier") return false;
    const { id, fn, index } = binding;
    if (this.#typeOf(id) === "Flow") return true;
    const { parent } = fn;
    if (index !== 0 || fn.params[0] !== id || parent.type !== "CallExpression" || parent.arguments[0] !== fn) {
      return false;
    }
    const { object, method } = methodCall(parent) ?? {};
    if (object === undefined || method !== "handle") return false;
    return this.#isMadeBy("workflow", object) || (id.name === "flow" && this.contract(object) === "imported");
  }

  /** Returns true if an expression is a constant of this file whose value is `workflow(…)`, or `entity(…)`. */
  #isMadeBy(maker: "workflow" | "entity", expression: Deno.lint.Node): boolean {
    const binding = this.#bindingOf(expression);
    const init = binding?.kind === "variable" && binding.declarator.init ? bare(binding.declarator.init) : undefined;
    return init?.type === "CallExpression" && this.exportOf(init.callee) === maker;
  }

  /**
   * Returns true if an object is an entity: one of this file, or an import on which a call with a contract and a
   * function is made.
   */
  #isEntity({ arguments: [contract, fn] }: Deno.lint.CallExpression, object: Deno.lint.Node): boolean {
    if (this.#isMadeBy("entity", object)) return true;
    return fn !== undefined && isFunction(fn) && this.contract(object) === "imported" && !!this.contract(contract);
  }

  /** Returns true if an expression is a call `Entity.event(…)` on an entity of this file. */
  #isEntityEvent(expression: Deno.lint.Node | null): boolean {
    const call = expression && bare(expression);
    const { object, method } = (call?.type === "CallExpression" && methodCall(call)) || {};
    return object !== undefined && method === "event" && this.#isMadeBy("entity", object);
  }

  /** Returns the declaration of a name, if the expression is that name; else `undefined`. */
  #bindingOf(expression: Deno.lint.Node): Binding | undefined {
    const node = bare(expression);
    return node.type === "Identifier" ? this.scopes.resolve(node) : undefined;
  }

  #functionOf(identifier: Deno.lint.Identifier): FunctionNode | undefined {
    const binding = this.scopes.resolve(identifier);
    if (binding?.kind === "function") return binding.fn;
    if (binding?.kind !== "variable" || binding.declarator.id !== binding.id) return undefined;
    const { init } = binding.declarator;
    return init !== null && isFunction(init) ? init : undefined;
  }
}

/** Makes a lint rule that does nothing in a file without imports from `@catga/catga`. */
export function rule(
  visitor: (file: CatgaFile, context: Deno.lint.RuleContext) => Deno.lint.LintVisitor,
): Deno.lint.Rule {
  return {
    create(context) {
      const imports = context.sourceCode.ast.body.some((one) =>
        one.type === "ImportDeclaration" && isCatga(one.source.value)
      );
      return imports ? visitor(new CatgaFile(), context) : {};
    },
  };
}

/** Returns an expression without wrappers that do not change its value: `as`, `satisfies`, `!`, `?.`. */
export function bare(expression: Deno.lint.Node): Deno.lint.Node {
  switch (expression.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSNonNullExpression":
    case "TSTypeAssertion":
    case "ChainExpression":
      return bare(expression.expression);
    default:
      return expression;
  }
}

/** Returns the name of the member in `a.name` and in `a["name"]`; `undefined`: it is not known. */
export function memberName(member: Deno.lint.MemberExpression): string | undefined {
  const { computed, property } = member;
  if (!computed) return property.type === "Identifier" ? property.name : undefined;
  return property.type === "Literal" && typeof property.value === "string" ? property.value : undefined;
}

/** Returns the object and the method's name in a call `object.method(…)`; `undefined`: another call. */
export function methodCall(
  { callee }: Deno.lint.CallExpression,
): { readonly object: Deno.lint.Node; readonly method: string } | undefined {
  const member = bare(callee);
  if (member.type !== "MemberExpression") return undefined;
  return { object: member.object, method: memberName(member) ?? "" };
}

const HANDLING: ReadonlySet<string> = new Set(["handle", "on", "onBatch"]);
/** Further methods of apps and contexts that have effects and return a promise. */
const AWAITED: ReadonlySet<string> = new Set([
  "enqueue",
  "start",
  "tell",
  "ask",
  "complete",
  "cancel",
  "result",
  "unschedule",
]);
/** Methods of an app's or context's members (`clock`, `cache`) that have effects and return a promise. */
const AWAITED_OF_PARTS: ReadonlySet<string> = new Set(["clock.sleep", "cache.set", "cache.delete", "cache.getOrSet"]);
/** Methods that give an `out` to a function: of a store, and `flow.transaction`. */
const OF_STORES: ReadonlySet<string> = new Set(["transaction", "handler", "batch", "once"]);
const AWAITED_OF_FLOW: ReadonlySet<string> = new Set(["step", "send", "sleep", "wait"]);

function isSenderMethod(name: string): name is SenderMethod {
  return name === "send" || name === "sendAll" || name === "publish" || name === "broadcast" || name === "lock";
}

/**
 * Returns true for `app`, `this.app`, `ctx` and the like: a sender of unknown origin is recognized only by such a
 * usual name.
 */
function isNamedSender(expression: Deno.lint.Node): boolean {
  const node = bare(expression);
  const name = node.type === "Identifier" ? node.name : node.type === "MemberExpression" ? memberName(node) : undefined;
  return name !== undefined && /^(?:app|catga|ctx|context)$/i.test(name);
}

/**
 * Returns true if a module specifier names this package, in Deno (`jsr:`) or in Bun (`@jsr/`), with or without a
 * version.
 */
function isCatga(module: string): boolean {
  return /^(?:(?:jsr:|npm:)\/?)?(?:@catga\/catga|@jsr\/catga__catga)(?:@[^/]+)?$/.test(module);
}

function isCatgas(binding: Binding | undefined): binding is Extract<Binding, { kind: "import" }> {
  return binding?.kind === "import" && isCatga(binding.module);
}

/** Returns true for an import from another module, which may export contracts. */
function isForeign(binding: Binding | undefined): boolean {
  return binding?.kind === "import" && !isCatga(binding.module) && !binding.module.startsWith("node:");
}

function isContractLike(name: string): boolean {
  return /^[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*$/.test(name);
}
