/** What `widget/place.ts` is in the npm package: the API is bundled, the site is one that is named. */

import { chosenSite } from "../api/site";

type Api = typeof import("../thimble");

/** The site; before anybody has named one, the page, since the element may be shown already. */
export function site(): URL {
  return new URL(chosenSite() ?? "./", location.href);
}

/** The API, in the same bundle; it comes when the first element asks. */
export function importApi(): Promise<Api> {
  return import("../thimble");
}
