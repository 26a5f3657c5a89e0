/**
 * Finds the declarations of names in a file, from its syntax alone: one table for each scope, made when the scope is
 * first read.
 */

/** A function in any of its syntactic forms. */
export type FunctionNode =
  | Deno.lint.ArrowFunctionExpression
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression;

/** The declaration of a name: where it is, and its form. */
export type Binding =
  | { readonly kind: "import"; readonly module: string; readonly name: string }
  | { readonly kind: "variable"; readonly declarator: Deno.lint.VariableDeclarator; readonly id: Deno.lint.Node }
  | { readonly kind: "parameter"; readonly fn: FunctionNode; readonly index: number; readonly id: Deno.lint.Node }
  | { readonly kind: "function"; readonly fn: FunctionNode }
  | { readonly kind: "other" };

/**
 * The scopes of one file.
 * @decides a name in a scope
 */
export class Scopes {
  readonly #tables = new Map<Deno.lint.Node, Map<string, Binding>>();

  /**
   * Returns the declaration to which an identifier refers; `undefined` for a global. A `var` counts as declared in
   * its block.
   */
  resolve(identifier: Deno.lint.Identifier): Binding | undefined {
    return this.lookUp(identifier.name, identifier);
  }

  /** Returns true if an expression is one of the globals with these names. */
  isGlobal(expression: Deno.lint.Node, ...names: readonly string[]): boolean {
    return expression.type === "Identifier" && names.includes(expression.name) &&
      this.resolve(expression) === undefined;
  }

  /** Returns the declaration to which a name refers at a syntax node; `undefined` for a global. */
  lookUp(name: string, node: Deno.lint.Node): Binding | undefined {
    let at = parentOf(node);
    while (at !== undefined) {
      let table = this.#tables.get(at);
      if (table === undefined) this.#tables.set(at, table = declaredBy(at));
      const binding = table.get(name);
      if (binding !== undefined) return binding;
      at = parentOf(at);
    }
    return undefined;
  }
}

/** Returns the syntax node that contains a node; `undefined` for the whole program. */
export function parentOf(node: Deno.lint.Node): Deno.lint.Node | undefined {
  // `parent` is checked, because one node lacks it in the types of Deno 2.9: the parameter in `constructor(private
  // x)`
  return "parent" in node ? (node.parent ?? undefined) as Deno.lint.Node | undefined : undefined;
}

/** Returns true if a syntax node is a function with a body. */
export function isFunction(node: Deno.lint.Node): node is FunctionNode {
  return node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" ||
    node.type === "FunctionDeclaration";
}

/** Returns the functions that contain a syntax node, the innermost first. */
export function functionsAround(node: Deno.lint.Node): FunctionNode[] {
  const found: FunctionNode[] = [];
  for (let at = parentOf(node); at !== undefined; at = parentOf(at)) if (isFunction(at)) found.push(at);
  return found;
}

/** Returns true if `await` is allowed at a syntax node. */
export function mayAwait(node: Deno.lint.Node): boolean {
  for (let at = parentOf(node); at !== undefined; at = parentOf(at)) {
    if (isFunction(at)) return at.async;
    if (at.type === "StaticBlock" || at.type === "PropertyDefinition") return false;
  }
  return true;
}

/** Returns true if an identifier refers to a variable: it is no key, no name of a member, and no declaration. */
export function isReference(identifier: Deno.lint.Identifier): boolean {
  const parent = parentOf(identifier);
  switch (parent?.type) {
    case "MemberExpression":
      return parent.object === identifier || parent.computed;
    case "Property":
    case "PropertyDefinition":
      return parent.value === identifier || parent.computed;
    case "MethodDefinition":
      return parent.computed;
    case "VariableDeclarator":
      return parent.init === identifier;
    case "ExportSpecifier":
      return parent.local === identifier && parent.parent.source === null;
    case "ImportSpecifier":
    case "ImportDefaultSpecifier":
    case "ImportNamespaceSpecifier":
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return false;
    default:
      return parent === undefined || !isFunction(parent) || parent.body === identifier;
  }
}

function declaredBy(scope: Deno.lint.Node): Map<string, Binding> {
  const table = new Map<string, Binding>();
  switch (scope.type) {
    case "Program":
    case "BlockStatement":
    case "StaticBlock":
    case "TSModuleBlock":
      for (const statement of scope.body) declare(table, statement);
      break;
    case "SwitchStatement":
      for (const { consequent } of scope.cases) for (const statement of consequent) declare(table, statement);
      break;
    case "ForStatement":
      if (scope.init !== null) declare(table, scope.init);
      break;
    case "ForInStatement":
    case "ForOfStatement":
      declare(table, scope.left);
      break;
    case "CatchClause":
      if (scope.param !== null) { for (const id of namesIn(scope.param)) table.set(id.name, { kind: "other" }); }
      break;
    case "ArrowFunctionExpression":
    case "FunctionExpression":
    case "FunctionDeclaration":
      if (scope.type === "FunctionExpression" && scope.id !== null) {
        table.set(scope.id.name, { kind: "function", fn: scope });
      }
      for (const [index, param] of scope.params.entries()) {
        const pattern = param.type === "TSParameterProperty" ? param.parameter : param;
        for (const id of namesIn(pattern)) table.set(id.name, { kind: "parameter", fn: scope, index, id });
      }
      break;
    case "ClassExpression":
      if (scope.id !== null) table.set(scope.id.name, { kind: "other" });
      break;
  }
  return table;
}

function declare(table: Map<string, Binding>, statement: Deno.lint.Node): void {
  switch (statement.type) {
    case "ImportDeclaration":
      for (const specifier of statement.specifiers) {
        table.set(specifier.local.name, {
          kind: "import",
          module: statement.source.value,
          name: specifier.type === "ImportNamespaceSpecifier"
            ? "*"
            : specifier.type === "ImportDefaultSpecifier"
            ? "default"
            : specifier.imported.type === "Identifier"
            ? specifier.imported.name
            : specifier.imported.value,
        });
      }
      break;
    case "ExportNamedDeclaration":
    case "ExportDefaultDeclaration":
      if (statement.declaration !== null) declare(table, statement.declaration);
      break;
    case "VariableDeclaration":
      for (const declarator of statement.declarations) {
        for (const id of namesIn(declarator.id)) table.set(id.name, { kind: "variable", declarator, id });
      }
      break;
    case "FunctionDeclaration":
      if (statement.id !== null) table.set(statement.id.name, { kind: "function", fn: statement });
      break;
    case "ClassDeclaration":
    case "TSEnumDeclaration":
    case "TSModuleDeclaration":
    case "TSImportEqualsDeclaration":
      if (statement.id?.type === "Identifier") table.set(statement.id.name, { kind: "other" });
      break;
  }
}

/** Returns the identifiers that a pattern declares. */
function namesIn(pattern: Deno.lint.Node): Deno.lint.Identifier[] {
  switch (pattern.type) {
    case "Identifier":
      return [pattern];
    case "AssignmentPattern":
      return namesIn(pattern.left);
    case "RestElement":
      return namesIn(pattern.argument);
    case "ArrayPattern":
      return pattern.elements.flatMap((element) => element === null ? [] : namesIn(element));
    case "ObjectPattern":
      return pattern.properties.flatMap((one) => namesIn(one.type === "Property" ? one.value : one.argument));
    default:
      return [];
  }
}
