"""The server's icon: a database with a keyhole, 32 x 32 pixels, as a `data:` URI that needs no
network."""

from __future__ import annotations

from typing import Any

_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgBAMAAACBVGfHAAAAMFBMVEUzZ5EzZ5EzZ5EzZ5EzZ5EzZ5EzZ5EzZ5Ez"
    "Z5EzZ5EzZ5EzZ5EzZ5EzZ5EzZ5EzZ5GLEbCcAAAAEHRSTlMAESIzRFVmd4iZqrvM3e7/dpUBFQAAALpJREFUeNpj"
    "YCATMJqkpTkLILhZ9/8Dwd9lMKG6/1DwHMJn/Q8HAWABJm4Yf4MCWICjqQ/Cf6HRABH4Ny199d27u8oy30MF/v//"
    "d3rmzD3v//+HC8AARIAdIVAAsXc+kPlrPZD4CeGzMPf+/6fA9P7/DQMHiBmbGURSGBjcHBmsYYaeCALRqj1Itvxm"
    "YNiPaksDB5otEzhRbflfAFSHbEuGAXMbflv+3t57/z9Oz2EEIUYgY0YDRkSRCACd3MAvJ9MsQwAAAABJRU5ErkJg"
    "gg=="
)
ICONS: list[dict[str, Any]] = [
    {"src": f"data:image/png;base64,{_PNG}", "mimeType": "image/png", "sizes": ["32x32"]}
]
