// SPDX-License-Identifier: MIT

package health

// Relative says when a moment is.
var Relative = relative
