// The page for admins: joins its parts.

import { showHeader } from "../common/header.js";

showHeader("/admin");
