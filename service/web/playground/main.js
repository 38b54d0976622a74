// The playground: joins the parts of the page.

import { showHeader } from "../common/header.js";
import { learn } from "../common/words.js";
import { words } from "./words.en-zh.js";

learn(words);
showHeader("/");
