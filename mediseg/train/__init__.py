"""The training room: painted heads, networks, the loop and the ONNX export (extra ``train``)."""
