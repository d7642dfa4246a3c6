// SPDX-License-Identifier: MIT

package ops
