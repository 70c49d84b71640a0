/** Getting at the elements that the server rendered. */

/** The element with this id; a template without it is a mistake of ours, said at once. */
export function byId<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} with id "${id}"`);
  return element;
}
