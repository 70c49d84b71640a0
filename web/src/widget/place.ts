/** Where the widget is of, and the API module from there; `npm/place.ts` is a bundle's. */

type Api = typeof import("../thimble");

/** Where this module is of, which is where everything else comes from. */
export function site(): URL {
  return new URL("./", import.meta.url);
}

/** The API. One module for the whole page, whoever imports it: it holds the worker. */
export async function importApi(): Promise<Api> {
  const address = new URL("thimble.js", site()).href;
  try {
    return (await import(address)) as Api;
  } catch (error) {
    const failed = new Error(`${address} could not be loaded (${String(error)})`, { cause: error });
    failed.name = "LoadError";
    throw failed;
  }
}
