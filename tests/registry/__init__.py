"""Tests of xds_server.registry."""
